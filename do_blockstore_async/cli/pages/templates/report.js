(() => {
  const about = JSON.parse(byId("inventory-data").textContent);
  const rows = JSON.parse(byId("inventory-rows").textContent);
  const taken_s = Date.parse(about.taken_at) / 1000;
  const [NAME, ID, REGION, SIZE, AGE, DROPLET, TAGS, COUNT, WEIGHT, NEWEST, COST, FLAGS] =
    Array.from({ length: 12 }, (_, index) => index);
  const ATTACHED = 1, UNPROTECTED = 2, DELETED = 4;
  const PER_PAGE = 100, PER_PRINT = 5000;
  const CHOICES = {
    all: () => true,
    unattached: (flags) => !(flags & (ATTACHED | DELETED)),
    unprotected: (flags) => (flags & UNPROTECTED) !== 0,
    deleted: (flags) => (flags & DELETED) !== 0,
  };

  const table = byId("volumes"), body = table.tBodies[0];
  const search = byId("search"), found = byId("found"), place = byId("place");
  let order = Uint32Array.from(rows.keys());
  let shown = order, page = 0, choice = "all";
  let sorting = { column: COST, falling: true };

  // Numbers in names count as numbers: db-2 before db-10. Made once, since it is what sorting costs.
  const keys = {};
  function keysOf(column) {
    if (!(column in keys)) {
      keys[column] = rows.map((row) => {
        const value = column === TAGS ? row[TAGS].join(" ") : row[column];
        if (value === null || value === "") return null;
        if (typeof value === "number") return value;
        return value.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
      });
    }
    return keys[column];
  }

  let texts = null;
  function textOf(index) {
    texts ??= rows.map((row) =>
      [row[NAME], row[ID], row[REGION], row[DROPLET] ?? "", ...row[TAGS]].join("\n").toLowerCase());
    return texts[index];
  }

  function sort() {
    const key = keysOf(sorting.column), sign = sorting.falling ? -1 : 1;
    order = Uint32Array.from(rows.keys()).sort((a, b) => {
      const one = key[a], two = key[b];
      if (one === two) return a - b;
      // What is empty stands at the end, whichever way.
      if (one === null) return 1;
      if (two === null) return -1;
      return one < two ? -sign : sign;
    });
    for (const head of table.tHead.rows[0].cells) {
      const column = Number(head.dataset.column);
      if (column === sorting.column) {
        head.setAttribute("aria-sort", sorting.falling ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    }
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = CHOICES[choice];
    shown = words.length || choice !== "all"
      ? order.filter((index) => fits(rows[index][FLAGS]) &&
          words.every((word) => textOf(index).includes(word)))
      : order;
    page = 0;
    draw();
  }

  function cell(text, kind) {
    return make("td", { class: kind }, text);
  }

  function newest(row) {
    if (row[NEWEST] === null) return row[FLAGS] & UNPROTECTED ? "none" : "-";
    const days = (taken_s - row[NEWEST]) / 86400;
    return days < 1 ? "today" : `${whole(Math.floor(days))} d ago`;
  }

  function line(index) {
    const row = rows[index], flags = row[FLAGS];
    const name = make("th", { scope: "row", class: "name" }, row[NAME],
      make("span", { class: "id" }, row[ID]));
    const tags = make("td", null, ...row[TAGS].map((tag) => make("span", { class: "chip" }, tag)));
    const state = flags & DELETED ? "-" : row[DROPLET] === null ? "unattached" : String(row[DROPLET]);
    const cells = [
      name,
      cell(row[REGION] || "-", "short"),
      cell(flags & DELETED ? "-" : whole(row[SIZE]), "number"),
      cell(flags & DELETED ? "-" : `${whole(row[AGE])} d`, "number"),
      cell(state, row[DROPLET] === null && !(flags & DELETED) ? "short warn" : "short"),
    ];
    if (!table.dataset.bare) {
      cells.push(
        cell(whole(row[COUNT]), "number"),
        cell(row[COUNT] ? whole(row[WEIGHT]) : "-", "number"),
        cell(newest(row), flags & UNPROTECTED ? "number bad" : "number"),
      );
    }
    cells.push(cell(money(row[COST]), "number"), tags);
    return make("tr", null, ...cells);
  }

  function draw(count = PER_PAGE) {
    const from = page * count, to = Math.min(from + count, shown.length);
    body.replaceChildren(...Array.from(shown.subarray(from, to), line));
    let cost = 0, size = 0;
    for (const index of shown) {
      cost += rows[index][COST];
      size += rows[index][SIZE];
    }
    found.textContent = shown.length
      ? `${whole(shown.length)} of ${whole(rows.length)} rows, ${whole(size)} GiB, ` +
        `${money(cost)} ${about.currency} a month`
      : "nothing matches";
    place.textContent = shown.length ? `${whole(from + 1)} to ${whole(to)}` : "";
    const last = Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
    byId("first").disabled = byId("previous").disabled = page === 0;
    byId("next").disabled = byId("last").disabled = page >= last;
    byId("pager").hidden = last === 0;
  }

  function turn(to) {
    page = Math.max(0, Math.min(to, Math.ceil(shown.length / PER_PAGE) - 1));
    draw();
    byId("all").scrollIntoView({ block: "start" });
  }

  function choose(name) {
    choice = name;
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === name));
    }
    filter();
  }

  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.closest("th");
    if (!head) return;
    const column = Number(head.dataset.column);
    const falling = column === sorting.column ? !sorting.falling : head.classList.contains("number");
    sorting = { column, falling };
    sort();
    filter();
  });
  search.addEventListener("input", filter);
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.addEventListener("click", () => choose(button.dataset.choice));
  }
  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      search.value = "";
      choose(button.dataset.show);
      byId("all").scrollIntoView({ block: "start" });
    });
  }
  byId("first").addEventListener("click", () => turn(0));
  byId("previous").addEventListener("click", () => turn(page - 1));
  byId("next").addEventListener("click", () => turn(page + 1));
  byId("last").addEventListener("click", () => turn(Infinity));
  // On paper there are no pages to turn: what was chosen is printed, up to a book's length.
  window.addEventListener("beforeprint", () => {
    page = 0;
    draw(PER_PRINT);
    byId("cut").hidden = shown.length <= PER_PRINT;
  });
  window.addEventListener("afterprint", () => {
    byId("cut").hidden = true;
    draw();
  });

  sort();
  filter();
  byId("all").hidden = false;
  document.documentElement.dataset.ready = "yes";
})();
