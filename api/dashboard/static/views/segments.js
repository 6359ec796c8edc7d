// Buttons of which one is pressed.

import { h } from "../dom.js";

/** The buttons; `choose(name)` is told which one was clicked, and `press(name)` shows that it holds. */
export function segments(label, names, choose) {
  const element = h(
    "div.segments",
    { role: "group", "aria-label": label },
    names.map((name) => h("button", { type: "button", onclick: () => choose(name) }, name)),
  );
  return {
    element,
    press: (name) => {
      for (const button of element.children) button.setAttribute("aria-pressed", String(button.textContent === name));
    },
  };
}
