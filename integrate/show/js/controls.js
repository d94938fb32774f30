// Buttons, lists and sliders around the panes: native elements, so that keys and screen readers reach all of them.
const TOOLS = [
  ["pan", "Move", "Drag moves, the wheel zooms"],
  ["lasso", "Lasso", "Drag around cells; Ctrl adds, Alt takes away"],
  ["box", "Box", "Drag a box over cells; Ctrl adds, Alt takes away"],
  ["draw", "Draw", "Drag freely, or click corners and press Enter"],
  ["edit", "Edit", "Drag corners; a click on an edge makes one, Alt takes one away"],
  ["refine", "Outline", "Drag a box around an object; its outline is found"],
];
const MODES = [["overlay", "Overlay"], ["side", "Side by side"], ["blink", "Blink"], ["checker", "Checkerboard"]];
const FINDERS = [["threshold", "by threshold"], ["flood", "from the middle"], ["contour", "active contour"]];

class Controls {
  constructor(app) {
    this.app = app;
    this.tools = TOOLS.filter(([name]) => app.places.length || !["lasso", "box"].includes(name)).map(([name, text, title]) =>
      make("button", { type: "button", title, "data-tool": name, onclick: () => this.choose(name) }, text));
    this.note = make("span", { class: "ig-note", role: "status", "aria-live": "polite" });
    this.where = make("span", { class: "ig-where" });
    this.bar = make("div", { class: "ig-bar", role: "toolbar", "aria-label": "Viewer tools" }, ...this.tools, ...this.more());
    this.channelList = make("div", { class: "ig-channels", role: "group", "aria-label": "Channels" });
    this.regionList = make("div", { class: "ig-regions", role: "group", "aria-label": "Regions" });
    this.layers = make("div", { class: "ig-layers", role: "group", "aria-label": "Layers" }, ...this.switches());
    this.element = make("div", { class: "ig-panel" }, this.layers, this.channelList, this.regionList);
    this.choose("pan");
    this.listChannels();
    this.listRegions();
  }
  choose(tool) {
    this.app.tool = tool;
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    this.app.drawAll?.();
  }
  select(label, options, value, act) {
    const list = make("select", { title: label, "aria-label": label, onchange: () => act(list.value) },
      ...options.map(([name, text]) => make("option", { value: name, textContent: text })));
    list.value = value;
    return list;
  }
  more() {
    const { app } = this, made = [];
    this.finder = this.select("How outlines are found", FINDERS, "threshold", () => {});
    made.push(this.finder);
    if (app.spec.images.length > 1) {
      this.mode = this.select("How two images are compared", MODES, app.mode, (mode) => app.setMode(mode));
      made.push(this.mode, make("button", { type: "button", title: "Show the other image", onclick: () => app.flip() }, "Flip"));
    }
    if (app.spec.colour_names.length) {
      const options = make("datalist", { id: `ig-${newId()}` }, ...app.spec.colour_names.map((name) => make("option", { value: name })));
      this.colour = make("input", { class: "ig-colour", placeholder: "colour cells by …", "aria-label": "Colour cells by",
        list: options.id, value: app.colouring.name ?? "",
        onchange: () => app.model.send({ type: "colour", name: this.colour.value }) });
      made.push(this.colour, options);
    }
    made.push(make("button", { type: "button", title: "Show all", onclick: () => app.fitAll() }, "Fit"));
    made.push(make("button", { type: "button", title: "Save what is shown as PNG", onclick: () => app.download() }, "PNG"));
    return made;
  }
  switches() {
    const { app } = this, texts = { labels: "labels", outlines: "outlines", cells: "cells", regions: "regions" };
    const present = { labels: app.spec.labels, outlines: app.model.get("_outlines")?.byteLength, cells: app.places.length, regions: true };
    return Object.entries(texts).filter(([name]) => present[name]).map(([name, text]) => make("label", {},
      make("input", { type: "checkbox", checked: true, "data-layer": name,
        onchange: (event) => { app.shown[name] = event.target.checked; app.drawAll(); } }), text));
  }
  listChannels() {
    const { channels } = this.app;
    if (!this.channelRows) {
      const head = ["", "", "black", "full", "gamma"].map((text) => make("span", {}, text));
      this.channelRows = channels.map((one, at) => this.channelRow(one, at));
      this.channelList.append(make("div", { class: "ig-channel ig-head", "aria-hidden": "true" }, ...head), ...this.channelRows);
    }
    channels.forEach((one, at) => this.fillChannel(this.channelRows[at], one, at));
  }
  channelName(one) {
    const { images } = this.app.spec;
    return images.length > 1 ? `${images[one.image].name}: ${one.name}` : one.name;
  }
  channelRow(one, at) {
    const tick = make("input", { type: "checkbox", "data-key": "on", onchange: () => this.app.setChannel(at, { on: tick.checked }, true) });
    return make("div", { class: "ig-channel", "data-channel": one.name }, make("label", {}, tick, this.channelName(one)));
  }
  // Not while somebody moves a slider. The sliders are made when a channel is first on: forty have a hundred and twenty.
  fillChannel(row, one, at) {
    if (one.on && row.childElementCount === 1) row.append(...this.channelLook(one, at));
    const known = one.low !== null, [least, most] = known ? [one.min, one.max] : [0, 1];
    const shown = { ...one, low: one.low ?? 0, high: one.high ?? 1 };
    for (const input of row.querySelectorAll("[data-key]")) {
      const { key } = input.dataset;
      if (key === "on") input.checked = one.on;
      if (key === "low" || key === "high") Object.assign(input, { min: least, max: most, step: (most - least) / 500 || 1 });
      if (input.type === "range") input.disabled = !known;
      if (key !== "on" && input !== document.activeElement) input.value = shown[key];
    }
  }
  channelLook(one, at) {
    const name = this.channelName(one);
    const field = (key, title, properties) => {
      const set = (final) => this.app.setChannel(at, { [key]: key === "colour" ? input.value : +input.value }, final);
      const input = make("input", { ...properties, title, "aria-label": `${title} of ${name}`, "data-key": key,
        oninput: () => set(false), onchange: () => set(true) });
      return input;
    };
    return [field("colour", "Colour", { type: "color" }), field("low", "Black", { type: "range" }), field("high", "Full", { type: "range" }),
      field("gamma", "Gamma", { type: "range", min: .2, max: 3, step: .0056 })];
  }
  listRegions() {
    const { app } = this, { regions } = app;
    const ids = regions.list.map((one) => one.id).join(" ");
    if (ids !== this.listed) {  // not while somebody goes from field to field
      this.listed = ids;
      this.who = make("input", { class: "ig-annotator",
        onchange: () => { app.model.set("annotator", this.who.value); app.model.save_changes(); } });
      this.undo = make("button", { type: "button", onclick: () => regions.undo() }, "Undo");
      const head = make("div", { class: "ig-region" }, make("label", {}, "Annotator ", this.who), this.undo);
      this.rows = regions.list.map((region) => this.regionRow(region.id));
      this.regionList.replaceChildren(head, ...this.rows);
    }
    this.who.value = app.model.get("annotator") ?? "";
    this.undo.disabled = !regions.past.length;
    regions.list.forEach((region, i) => {
      for (const input of this.rows[i].querySelectorAll("input")) {
        if (input !== document.activeElement) input.value = region[input.dataset.key] ?? "";
      }
      this.rows[i].firstChild.style.background = regions.colourOf(region);
    });
  }
  regionRow(id) {
    const { regions } = this.app;
    const field = (key, label) => make("input", { placeholder: label, "aria-label": `${label} of the region`, "data-key": key,
      onchange: (event) => { regions.list.find((one) => one.id === id)[key] = event.target.value; regions.commit(); } });
    return make("div", { class: "ig-region", "data-region": id }, make("span", { class: "ig-swatch" }),
      field("name", "name"), field("classification", "class"), field("annotator", "annotator"),
      make("button", { type: "button", onclick: () => regions.remove(id) }, "Remove"));
  }
}
