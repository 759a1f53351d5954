// The charts. A family is switched off in all of them at once; points have tooltips for mouse and keyboard.
{
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const said = document.getElementById("said");
  const buttons = [...document.querySelectorAll(".legend button")];
  const families = [...new Set(buttons.map(button => button.dataset.family))];
  const hidden = new Set(), views = new Map();
  const shown = () => families.filter(family => !hidden.has(family));

  const update = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", !hidden.has(button.dataset.family));
    for (const view of views.values()) view.signal("shown", shown()).runAsync();
  };
  const toggle = family => {
    hidden.has(family) ? hidden.delete(family) : hidden.add(family);
    if (!shown().length) hidden.clear();
    update();
  };
  const only = family => {  // a second time: all of them again
    const alone = shown().length === 1 && shown()[0] === family;
    hidden.clear();
    if (!alone) families.filter(other => other !== family).forEach(other => hidden.add(other));
    update();
  };

  // Whatever lies in a specification at any depth as a channel x
  const channels = part => part && typeof part === "object"
    ? Object.entries(part).flatMap(([key, value]) => key === "x" && value.scale ? [value] : channels(value)) : [];

  const draw = async chart => {
    const spec = structuredClone(specs[chart.closest("figure").dataset.chart][chart.dataset.number]);
    const log = chart.closest("figure").querySelector(".log")?.getAttribute("aria-pressed");
    for (const {scale} of log && log !== "mixed" ? channels(spec) : []) {
      scale.type = log === "true" ? "log" : "linear";
      log === "true" ? delete scale.zero : scale.zero = false;
    }
    spec.params.find(param => param.name === "shown").value = shown();
    const still = chart.querySelector(":scope > svg"), place = document.createElement("div");
    if (still) still.style.display = "none";
    views.get(chart)?.finalize();
    chart.querySelector(":scope > .live")?.remove();
    place.className = "live";
    chart.append(place);
    try {
      // Errors alone are logged: that a family switched off leaves nothing to draw is none
      const options = {renderer: "svg", actions: false, logLevel: 1, tooltip: {disableDefaultStyle: true}};
      const {view} = await vegaEmbed(place, spec, options);
      views.set(chart, view);
      let begun = null;
      place.addEventListener("pointerdown", event => { begun = event; }, true);
      view.addEventListener("click", (event, item) => {
        const moved = begun && Math.hypot(event.clientX - begun.clientX, event.clientY - begun.clientY) > 4;
        if (item?.datum?.family && !moved) only(item.datum.family);
      });
    } catch (error) {
      console.error(error);
      place.remove();
      if (still) still.style.display = "";
    }
  };

  // By keyboard: arrows go from point to point, + and - zoom, 0 and Escape show the whole again
  const values = mark => Object.entries(mark.__data__?.tooltip ?? {}).map(pair => pair.join(": ")).join(", ");
  const marks = chart => {  // of several with the same values, such as the ends of an interval, the first
    const all = [...chart.querySelectorAll(".live .mark-symbol path, .live .mark-rect path")].filter(values);
    return [...new Map(all.reverse().map(mark => [values(mark), mark])).values()].reverse();
  };
  const send = (mark, kind, type, more = {}) => {
    const box = mark.getBoundingClientRect(), at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
    mark.dispatchEvent(new kind(type, {bubbles: true, cancelable: true, view: window, ...at, ...more}));
  };
  const point = (chart, step) => {
    const all = marks(chart), at = all.findIndex(mark => mark === chart.current);
    if (!all.length) return;
    chart.current = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length];
    send(chart.current, PointerEvent, "pointermove");
    said.textContent = values(chart.current);
  };
  const keys = {
    ArrowRight: chart => point(chart, 1), ArrowDown: chart => point(chart, 1),
    ArrowLeft: chart => point(chart, -1), ArrowUp: chart => point(chart, -1),
    "+": chart => zoom(chart, -250), "-": chart => zoom(chart, 250),
    0: chart => whole(chart), Escape: chart => whole(chart),
  };
  const ground = chart => chart.querySelector(".live .root .background");
  const zoom = (chart, deltaY) => send(ground(chart), WheelEvent, "wheel", {deltaY, ctrlKey: true});
  const whole = chart => send(ground(chart), MouseEvent, "dblclick");

  document.documentElement.classList.add("scripted");
  for (const button of buttons) button.addEventListener("click", () => toggle(button.dataset.family));
  for (const figure of document.querySelectorAll("figure")) {
    const charts = [...figure.querySelectorAll(".chart")], log = figure.querySelector(".log");
    if (log) {
      const types = new Set(specs[figure.dataset.chart].flatMap(channels).map(x => x.scale.type));
      log.hidden = false;
      log.setAttribute("aria-pressed", types.size > 1 ? "mixed" : types.has("log"));
      log.addEventListener("click", () => {
        log.setAttribute("aria-pressed", log.getAttribute("aria-pressed") !== "true");
        charts.forEach(draw);
      });
    }
    for (const chart of charts) {
      chart.tabIndex = 0;
      chart.setAttribute("role", "group");
      chart.setAttribute("aria-label", figure.dataset.title + ": arrows for values, plus and minus to zoom");
      chart.addEventListener("keydown", event => {
        if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        keys[event.key](chart);
      });
      chart.addEventListener("blur", () => chart.current && send(chart.current, PointerEvent, "pointerout"));
      draw(chart);
    }
  }
}
