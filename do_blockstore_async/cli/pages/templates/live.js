(() => {
  const KEPT = 200, SECONDS = 60;
  const rows = [];
  const perSecond = new Map();
  let onlyRefused = false, holding = false, heldBack = 0;

  function span(seconds) {
    if (seconds === null || seconds === undefined) return "-";
    if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
    const all = Math.round(seconds), hours = Math.floor(all / 3600);
    const rest = `${Math.floor(all / 60) % 60}:${String(all % 60).padStart(2, "0")}`;
    if (all < 60) return `${all} s`;
    return hours ? `${hours}:${rest.padStart(5, "0")}` : rest;
  }

  function stacked(parts, words) {
    const drawn = make("svg", { class: "bar", role: "img", "aria-label": words });
    drawn.append(make("rect", { class: "rest", width: "100%", height: "100%" }));
    for (const [kind, from, share] of parts) {
      drawn.append(make("rect", { class: kind, x: `${from}%`, width: `${share}%`, height: "100%" }));
    }
    return drawn;
  }

  function windowView(budget, it) {
    const percent = (count) => Math.min(100, 100 * count / it.limit);
    const used = percent(it.used), others = Math.min(100 - used, percent(it.others));
    const reserved = Math.min(100 - used - others, percent(it.reserved));
    const words = `${whole(it.used + it.others)} of ${whole(it.limit)} used`;
    const frees = it.next_free_in_s === null ? (it.used ? "held by requests in flight" : "")
      : `next slot free in ${span(it.next_free_in_s)}, all in ${span(it.all_free_in_s)}`;
    const more = [
      it.others ? `${whole(it.others)} by other clients` : "",
      it.reserved ? `${whole(it.reserved)} kept for interactive calls` : "", frees,
    ].filter(Boolean).join("; ");
    const name = budget.name ? `${budget.name}, ${it.name}` : it.name;
    const tone = it.remaining ? null : "bad";
    return make("div", { class: "window" },
      make("div", null, `${name}: `, make("strong", { class: tone }, `${whole(it.remaining)} left`),
        ` of ${whole(it.limit)}`),
      stacked([["first", 0, used], ["second", used, others], ["held", 100 - reserved, reserved]], words),
      make("div", { class: "soft" }, `${words}${more ? `; ${more}` : ""}`));
  }

  function cells(first, ...numbers) {
    return make("tr", null, make("th", { scope: "row", class: "name" }, first),
      ...numbers.map((number) => make("td", { class: "number" }, whole(number))));
  }

  function runView(run) {
    const ended = run.total - run.remaining, share = run.total ? 100 * ended / run.total : 100;
    const bad = run.failed + run.unknown;
    const parts = [`${whole(run.done)} done`, `${whole(run.skipped)} skipped`, `${whole(run.failed)} failed`];
    if (run.unknown) parts.push(`${whole(run.unknown)} unknown`);
    const who = run.workers.map((worker) => `${worker.name} (${whole(worker.in_flight)} in flight)`);
    const outlook = run.is_over ? "ended"
      : run.ends_in_s === null ? "no forecast yet" : `${span(run.ends_in_s)} to go at the pace of the last minute`;
    return make("div", { class: "window" },
      make("div", null, `${run.kind}, job ${run.job}: `,
        make("strong", null, `${whole(ended)} of ${whole(run.total)}`), `; ${outlook}`),
      stacked([["first", 0, share]], `${Math.round(share)} percent`),
      make("div", { class: bad ? "soft bad" : "soft" }, `${parts.join(", ")}`),
      make("div", { class: "soft name" }, [`journal ${run.name}`, ...who].join("; ")));
  }

  function showState(state) {
    for (const part of document.querySelectorAll("[data-if]")) {
      part.hidden = !(part.dataset.if in state) ||
        (part.dataset.if === "processes" && !state.processes.length);
    }
    for (const kind of ["requests", "refused", "failed"]) {
      byId(`count-${kind}`).textContent = whole(state.counts[kind]);
    }
    byId("count-refused").classList.toggle("bad", state.counts.refused > 0);
    byId("count-failed").classList.toggle("bad", state.counts.failed > 0);
    const budgets = state.budgets || [];
    const views = budgets.flatMap((budget) => budget.windows.map((it) => windowView(budget, it)));
    byId("windows").replaceChildren(...(views.length ? views : [make("p", null, "There are no limits.")]));
    if (state.waiting) {
      const waiting = state.waiting;
      byId("in-flight").textContent = whole(waiting.in_flight);
      byId("waiting").textContent = whole(waiting.interactive + waiting.background);
      byId("waiting-kinds").textContent = waiting.interactive + waiting.background
        ? `${whole(waiting.interactive)} interactive, ${whole(waiting.background)} background` : "";
      byId("why-interactive").textContent = `An interactive call made now: ${waiting.why.interactive}.`;
      byId("why-background").textContent = `A background call made now: ${waiting.why.background}.`;
      byId("processes").replaceChildren(...state.processes.map((it) =>
        cells(it.is_this ? `${it.name} (this page)` : it.name, it.in_flight, it.interactive, it.background)));
      byId("alone").hidden = state.processes.length > 1;
      byId("alone").textContent = state.processes.length
        ? "No other process shares this budget at the moment."
        : "The budget is not shared with other processes.";
    }
    if (state.clients) {
      byId("clients").replaceChildren(...state.clients.map((it) => cells(it.name, it.requests, it.refused)));
      byId("alone").hidden = state.clients.length > 0;
      byId("alone").textContent = "No request has come yet.";
    }
    byId("runs-card").hidden = !state.runs.length;
    byId("runs").replaceChildren(...state.runs.map(runView));
    drawPulse(state.at_s);
  }

  function isBad(row) {
    return row.status === 429 || row.status >= 500 || (row.method && !row.status);
  }

  function rowView(row) {
    const at = new Date(row.at_s * 1000);
    const time = at.toLocaleTimeString("en-GB", { hour12: false });
    const status = row.status === null ? (row.method ? "none" : "") : String(row.status);
    return make("tr", { class: isBad(row) ? "refused" : null },
      make("td", { class: "short" }, time),
      make("td", { class: isBad(row) ? "number bad" : "number" }, status),
      make("td", { class: "short" }, row.method), make("td", { class: "name" }, row.path),
      make("td", { class: "number" }, row.duration_s === null ? "" : whole(row.duration_s * 1000)),
      make("td", { class: "short" }, row.who),
      make("td", { class: "name" }, row.note));
  }

  function drawLog() {
    if (holding) return;
    const shown = onlyRefused ? rows.filter(isBad) : rows;
    byId("log").replaceChildren(...shown.slice(-KEPT).reverse().map(rowView));
    byId("none").hidden = shown.length > 0;
  }

  function take(happened) {
    for (const row of happened) {
      const second = Math.floor(row.at_s);
      const counted = perSecond.get(second) || { all: 0, refused: 0 };
      counted.all += row.count;
      counted.refused += row.status === 429 ? 1 : 0;
      perSecond.set(second, counted);
    }
    rows.push(...happened);
    rows.splice(0, Math.max(0, rows.length - 5 * KEPT));
    if (holding) {
      heldBack += happened.length;
      byId("held").textContent = `${whole(heldBack)} more since`;
    }
    drawLog();
  }

  function drawPulse(at_s) {
    const now = Math.floor(at_s), drawn = [];
    for (const second of perSecond.keys()) {
      if (second < now - SECONDS) perSecond.delete(second);
    }
    const most = Math.max(5, ...Array.from(perSecond.values(), (it) => Math.max(it.all, it.refused)));
    for (const [second, it] of perSecond) {
      const x = `${100 * (SECONDS - 1 - (now - second)) / SECONDS}%`, width = `${100 / SECONDS - 0.3}%`;
      for (const [kind, count] of [["all", it.all], ["refused", it.refused]]) {
        const height = 100 * count / most;
        if (height) drawn.push(make("rect", { class: kind, x, width, y: `${100 - height}%`, height: `${height}%` }));
      }
    }
    byId("pulse").replaceChildren(make("rect", { class: "rest", y: "99%", width: "100%", height: "1%" }), ...drawn);
  }

  function link(words, kind) {
    byId("link").textContent = words;
    byId("light").className = `status ${kind}`;
  }

  byId("only-refused").addEventListener("click", (event) => {
    onlyRefused = !onlyRefused;
    event.currentTarget.setAttribute("aria-pressed", String(onlyRefused));
    drawLog();
  });
  byId("hold").addEventListener("click", (event) => {
    holding = !holding;
    heldBack = 0;
    byId("held").textContent = "";
    event.currentTarget.setAttribute("aria-pressed", String(holding));
    drawLog();
  });

  const events = new EventSource("events");
  let greeted = false;
  events.addEventListener("open", () => {
    greeted = false;
    link("live", "on");
  });
  events.addEventListener("happened", (event) => {
    // What comes first after a connection is all that is remembered, also what was there before.
    if (!greeted) {
      rows.length = 0;
      perSecond.clear();
      greeted = true;
    }
    take(JSON.parse(event.data));
  });
  events.addEventListener("state", (event) => showState(JSON.parse(event.data)));
  events.addEventListener("error", () => link("the command has ended, or cannot be reached", "off"));
})();
