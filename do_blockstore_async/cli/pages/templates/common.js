"use strict";
const SVG = "http://www.w3.org/2000/svg";

/** Make an element. What is given as a child that is no node becomes text, never markup. */
function make(name, attributes, ...children) {
  const made = ["svg", "rect", "title"].includes(name)
    ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function whole(value) {
  return Math.round(value).toLocaleString("en-US");
}

function money(value) {
  return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function byId(id) {
  return document.getElementById(id);
}
