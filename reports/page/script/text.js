// Text of numbers and names. Names are cut and escaped where they are shown.

const isolated = (text) => "\u2068" + text + "\u2069"; // right-to-left names stay inside themselves
// Names of methods are cut where they agree, which was found where the page was made; other text at its end.
const short = (text) => (Object.hasOwn(data.short, text) ? data.short[text] : text);
const shorten = (text, length) => (text.length <= length ? text : Object.hasOwn(data.short, text) ? data.short[text] : text.slice(0, length - 1) + "…");
const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const named = (text, length = 60) => isolated(escaped(shorten(String(text), length)));
const whole = (value) => (value === null ? "unknown" : Math.round(value).toLocaleString("en-US"));
const fixed = (value, digits = 2) => (value === null ? "unknown" : rounded(value, digits));
const signed = (value) => (value === null ? "unknown" : (value > 0 ? "+" : "") + rounded(value, 2));
const plus = (value) => (value === null ? "" : " ± " + rounded(value, 2));

// As the tables do, which are made in Python: what lies just between two is rounded to the even one, 80.125 to 80.12.
function rounded(value, digits) {
  const exact = value.toFixed(60);
  const [kept, rest] = [exact.slice(0, digits - 60), exact.slice(digits - 60)];
  return /^50*$/.test(rest) && "02468".includes(kept.at(-1)) ? kept : value.toFixed(digits);
}

function amount(axis, value) {
  if (value === null) return "not measured";
  if (axis === "latency_ms") return Number(value.toPrecision(3)) + " ms";
  if (axis === "train_seconds") return Number(value.toPrecision(3)) + " s";
  return whole(value);
}
