// Elements with their properties, listeners and children.
// JupyterLab's one-letter commands match the focused element itself before they look at those around it, so each
// element that takes keys says that they are its own.
const TAKES_KEYS = ["button", "canvas", "input", "select"];

function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  if (TAKES_KEYS.includes(tag)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role" || name === "list") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}
