// The catalog browser: what there is, by words, modality and person; a look at one item; the code that loads it.
// Types into the notebook as a person would, so that undo and completion work: into the active cell, or into the one
// after the panel when the panel's own cell is the active one, as it is after a click. False when there is none.
function typeIntoNotebook(code, panel) {
  const own = panel.closest(".jp-Cell"), cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
  const active = cells.find((one) => one.classList.contains("jp-mod-active") && one !== own);
  const chosen = active ?? (own ? cells[cells.indexOf(own) + 1] : cells[cells.length - 1]);
  const cell = chosen?.querySelector(".cm-content");
  if (!cell) return false;
  cell.focus();
  const end = document.createRange();
  end.selectNodeContents(cell);
  end.collapse(false);
  getSelection().removeAllRanges();
  getSelection().addRange(end);
  return document.execCommand("insertText", false, (cell.textContent.trim() ? "\n" : "") + code);
}

class Browser {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.text = make("input", { type: "search", placeholder: "words", "aria-label": "Words", class: "ig-text" });
    this.subject = make("input", { type: "search", placeholder: "subject", "aria-label": "Subject", class: "ig-subject" });
    this.modality = make("select", { "aria-label": "Modality", class: "ig-modality" },
      make("option", { value: "", textContent: "every modality" }),
      ...model.get("_modalities").map((name) => make("option", { value: name, textContent: name })));
    this.found = make("div", { class: "ig-found", role: "list", "aria-label": "Datasets" });
    this.status = make("div", { class: "ig-status", role: "status", "aria-live": "polite" });
    this.items = make("select", { size: 6, "aria-label": "Items", class: "ig-items", onchange: () => this.preview() });
    this.look = make("div", { class: "ig-look" });
    this.code = make("code", { class: "ig-code" });
    this.insert = make("button", { type: "button", class: "ig-insert", disabled: true, onclick: () => this.put() }, "Insert code");
    root.classList.add("ig-browser");
    root.append(
      make("div", { class: "ig-filters", role: "search" }, this.text, this.modality, this.subject),
      this.status, this.found, this.items, make("div", { class: "ig-take" }, this.insert, this.code), this.look);
    for (const one of [this.text, this.subject]) one.addEventListener("input", () => this.later());
    this.modality.addEventListener("change", () => this.ask());
    this.heard = { "change:_found": () => this.list(), "change:_items": () => this.listItems(),
      "msg:custom": (message, buffers) => this.receive(message, buffers) };
    for (const [name, act] of Object.entries(this.heard)) model.on(name, act);
    this.list();
  }
  later() {
    clearTimeout(this.clock);
    this.clock = setTimeout(() => this.ask(), 250);
  }
  ask() {
    this.status.textContent = "Looking …";
    this.model.send({ type: "search", text: this.text.value, modality: this.modality.value, subject: this.subject.value });
  }
  list() {
    const found = this.model.get("_found");
    this.status.textContent = found.note;
    this.found.replaceChildren(...found.datasets.map((one) => make("div", { role: "listitem" },
      make("button", { type: "button", "data-dataset": one.name, "aria-pressed": one.name === this.dataset, title: one.description,
        onclick: () => this.choose(one.name) },
      make("b", {}, one.name), make("span", {}, [one.modality, `${one.items} ${one.items === 1 ? "item" : "items"}`].filter(Boolean).join(" · ")),
      make("span", { class: "ig-about" }, one.description)))));
  }
  choose(name) {
    this.dataset = name;
    this.list();
    this.model.send({ type: "items", dataset: name });
  }
  listItems() {
    const { dataset, items, more } = this.model.get("_items");
    if (dataset !== this.dataset) return;
    this.items.replaceChildren(...items.map((item) => make("option", { value: item, textContent: item || "(the whole)" })));
    if (more) this.items.append(make("option", { disabled: true, textContent: `… and ${more} more; filter by subject or words` }));
    this.items.selectedIndex = 0;
    this.preview();
  }
  preview() {
    const item = this.items.value, many = this.items.length > 1;
    const call = many ? `.load_item(${JSON.stringify(item)})` : ".load()";
    this.code.textContent = `${this.dataset.replace(/\W+/g, "_")} = ${this.model.get("variable")}[${JSON.stringify(this.dataset)}]${call}`;
    this.insert.disabled = false;
    this.look.textContent = "Opening …";
    this.model.send({ type: "preview", dataset: this.dataset, item });
  }
  receive(message, buffers) {
    if (message.type !== "preview" || message.dataset !== this.dataset || message.item !== this.items.value) return;
    this.look.innerHTML = message.html;  // made and escaped by our own kit
    if (!buffers.length) return;
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" }));
    this.look.prepend(make("img", { src: url, alt: message.alt, onload: () => URL.revokeObjectURL(url) }));
  }
  put() {
    if (typeIntoNotebook(this.code.textContent, this.root)) {
      this.status.textContent = "Inserted into the notebook.";
      return;
    }
    navigator.clipboard?.writeText(this.code.textContent);
    this.status.textContent = "No code cell to type into; the code is on the clipboard.";
  }
  release() {
    clearTimeout(this.clock);
    for (const [name, act] of Object.entries(this.heard)) this.model.off(name, act);
  }
}

function render({ model, el }) {
  const root = make("div");
  el.append(root);
  const browser = new Browser(model, root);
  root.viewer = browser;
  return () => browser.release();
}

export default { render };
