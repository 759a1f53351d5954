// Tables that are sorted by a click on a heading
for (const table of document.querySelectorAll("table:not(.first table)")) {
  const heads = [...table.querySelectorAll("th")];
  const value = (row, i) => row.cells[i].textContent.trim();
  const number = text => parseFloat(text.replace(/,/g, ""));
  heads.forEach((head, i) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((one, two) => {
        const a = value(one, i), b = value(two, i), x = number(a), y = number(b);
        const order = isNaN(x) || isNaN(y)
          ? isNaN(x) - isNaN(y) || a.localeCompare(b, undefined, {numeric: true}) : x - y;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}

// Two tokenizers on the same passages
if (document.getElementById("data")) {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [a, b] = ["a", "b"].map(id => document.getElementById(id));
  for (const select of [a, b]) data.names.forEach((name, i) => select.add(new Option(name, i)));
  b.value = data.names.length - 1;
  const show = () => {
    const box = document.getElementById("passages"), one = +a.value, two = +b.value;
    box.replaceChildren();
    const add = (tag, name, text) => {
      const made = box.appendChild(document.createElement(tag));
      made.className = name; made.textContent = text || "";
      return made;
    };
    const line = (passage, i) => {
      const bits = Uint8Array.from(atob(passage.bits[i]), c => c.charCodeAt(0)), chars = [...passage.text];
      add("p", "name", `${data.names[i]}: ${(passage.totals[i] / chars.length).toFixed(3)} bits per character`);
      const text = add("div", "passage");
      chars.forEach((char, at) => {
        const span = text.appendChild(document.createElement("span")), amount = bits[at] / data.step;
        span.textContent = char;
        span.style.background = `rgba(213, 94, 0, ${Math.min(0.85, amount / 10)})`;
        span.title = bits[at] === 255 ? "≥ 15.9 bits" : amount.toFixed(2) + " bits";
      });
    };
    const gain = passage => passage.totals[two] - passage.totals[one];
    const sorted = [...data.passages].sort((p, q) => gain(p) - gain(q));
    const part = (title, passages) => {
      add("h3", "", title);
      if (!passages.length) add("p", "", "None.");
      for (const passage of passages) { line(passage, one); line(passage, two); }
    };
    part(`Fewer bits with ${data.names[two]}`, sorted.filter(p => gain(p) < 0).slice(0, data.each));
    part(`More bits with ${data.names[two]}`, sorted.filter(p => gain(p) > 0).slice(-data.each).reverse());
  };
  a.onchange = b.onchange = show;
  show();
}
