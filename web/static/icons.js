// An icon of the sprite, for elements that scripts make.
const SPRITE = `/static/vendor/icons.svg?v=${document.documentElement.dataset.build}`;
const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  svg.firstChild.setAttribute("href", `${SPRITE}#${name}`);
  return svg;
}
