// The words of the scripts, in the user's language, from the same catalogs as the pages.
const words = JSON.parse(document.getElementById("words").textContent);

/** The message in the user's language; `%(name)s` is filled from `values`. */
export function t(message, values = {}) {
  const text = words[message] || message;
  return text.replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? values[name] : whole));
}
