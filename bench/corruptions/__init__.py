"""How networks do on test images that were made worse: by noise, blur, weather, or how they are stored."""
