/* Draws the figures of the page from the columns that it carries. Asks nothing of any network. */
"use strict";
(() => {
  const root = document.documentElement;
  const { figures } = JSON.parse(document.getElementById("data").textContent);
  const boxes = [...document.querySelectorAll(".plot")];
  const views = new Map(); // per plot: which axes are logarithmic, which parts are hidden, the width it was drawn at
  const touch = !matchMedia("(hover: hover)").matches;
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // ---- from a figure's description to Plotly's

  /* Replace CSS variables by the theme's colors, wherever a key says that it is a color. */
  const paint = (value, key = "") => {
    if (typeof value === "string") return /color$/i.test(key) && value.startsWith("--") ? css(value) : value;
    if (Array.isArray(value)) return value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, paint(item, name)]));
  };

  const lift = (values, axis, log) =>
    log && axis.floor !== null ? values.map((v) => (v !== null && v < axis.floor ? axis.floor : v)) : values;

  const traces = (figure, view) => {
    const column = (ref) => (typeof ref === "string" ? figure.columns[ref] : ref);
    const drawn = figure.plot.traces.map(({ x, y, custom, panel = 0, part, ...rest }) => {
      const suffix = panel ? String(panel + 1) : "";
      const columns = custom && custom.map(column);
      return {
        type: "scatter",
        ...paint(rest),
        x: lift(column(x), figure.plot.x, view.x),
        y: lift(column(y), figure.plot.y, view.y),
        customdata: columns && columns[0].map((_, row) => columns.map((values) => values[row])),
        xaxis: `x${suffix}`,
        yaxis: `y${suffix}`,
        visible: part && view.hidden.has(part) ? false : (rest.visible ?? true),
      };
    });
    // Points that are not seen make room for the reference lines and their text.
    const beyond = figure.plot.lines.map(({ axis, at }) => {
      const all = drawn[0][axis === "x" ? "y" : "x"], other = [all[all.length >> 1]];
      const marker = { size: 22, opacity: 0 };
      return { type: "scatter", mode: "markers", marker, hoverinfo: "skip", showlegend: false, visible: true, ...(axis === "x" ? { x: [at], y: other } : { x: other, y: [at] }) };
    });
    return [...drawn, ...beyond];
  };

  const decimal = (value, axis) =>
    axis.format.endsWith("%") ? `${decimal(100 * value, { format: "" })}%` : value.toLocaleString("en-US", { maximumSignificantDigits: 3 });
  const power = (k, axis) => (axis.format || (k >= -3 && k <= 4) ? decimal(10 ** k, axis) : `10<sup>${k}</sup>`.replace("-", "−"));

  /* Ticks of a logarithmic axis: as many powers of ten as fit; within a decade or so some of their multiples. */
  const ticks = (values, axis, room) => {
    const floored = axis.floor !== null && values.some((v) => v !== null && v <= axis.floor);
    const above = values.filter((v) => v !== null && v > (floored ? axis.floor : 0));
    const low = Math.log10(above.reduce((a, b) => Math.min(a, b), Infinity));
    const high = Math.log10(above.reduce((a, b) => Math.max(a, b), -Infinity));
    if (!Number.isFinite(low) || (!floored && high - low < 0.1)) return {};
    const tickvals = floored ? [axis.floor] : [], ticktext = floored ? [axis.floor_label] : [];
    if (high - low < 1.3) {
      const parts = high - low < 0.6 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9] : [1, 2, 3, 5, 7];
      const found = [0, 1, 2].flatMap((k) => parts.map((part) => part * 10 ** (Math.floor(low) + k)));
      const whole = found.filter((v) => v > (floored ? axis.floor * 1.2 : 0));
      return { tickmode: "array", tickvals: [...tickvals, ...whole], ticktext: [...ticktext, ...whole.map((v) => decimal(v, axis))] };
    }
    const every = Math.max(1, Math.ceil((high - low) / Math.max(2, room)));
    for (let k = Math.ceil((low - (floored ? 0.1 : 1)) / every) * every; k <= high + 1; k += every) {
      tickvals.push(10 ** k);
      ticktext.push(power(k, axis));
    }
    return { tickmode: "array", tickvals, ticktext };
  };

  const axisLayout = (axis, log, values, room) => ({
    type: log ? "log" : "linear",
    automargin: true,
    uirevision: log ? "log" : "linear",
    gridcolor: css("--faint"),
    linecolor: css("--line"),
    tickcolor: css("--line"),
    ticks: "outside",
    ticklen: 4,
    showline: true,
    zeroline: false,
    hoverformat: ",.4~g",
    exponentformat: "power",
    minexponent: 4,
    separatethousands: true,
    nticks: room,
    tickformat: axis.format || undefined,
    ...(log ? ticks(values, axis, room) : axis.range ? { range: axis.range } : {}),
  });

  /* Where panels lie: as many in a row as there is room for, rows of equal length. */
  const arrange = (plot, width) => {
    const count = Math.max(1, plot.panels.length);
    const most = plot.stacked ? 1 : Math.max(1, Math.floor((width - 40) / (count > 1 ? 160 : 1)));
    const rows = Math.ceil(count / Math.min(count, most));
    return { count, rows, columns: Math.ceil(count / rows) };
  };

  const layout = (figure, view, width, data) => {
    const { plot } = figure;
    const { count, rows, columns } = arrange(plot, width);
    const several = count > 1;
    const narrow = width < 520;
    const text = css("--ink"), muted = css("--muted");
    const top = several ? 26 : 8, gapY = plot.stacked ? 22 : 34, bottom = 46, legendRoom = data.some((t) => t.name && t.showlegend !== false) ? 26 : 0;
    const panelHeight = several ? plot.height : narrow ? Math.min(plot.height, 330) : plot.height;
    const margin = { l: several ? (plot.free ? 80 : 58) : 52, r: 14 + plot.room, t: top + legendRoom, b: bottom };
    const inner = rows * panelHeight + (rows - 1) * gapY;
    const height = plot.square ? width + legendRoom + 8 : inner + margin.t + margin.b;
    const plotWidth = Math.max(60, width - margin.l - margin.r);
    const gapX = columns > 1 ? (plot.free ? 64 : 24) / plotWidth : 0, gap = gapY / inner;
    const out = {
      width, height, margin,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css("--sans"), size: narrow ? 12 : 13, color: text },
      hoverlabel: { namelength: -1, bgcolor: css("--paper"), bordercolor: css("--line"), font: { family: css("--sans"), size: 12, color: text } },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", yref: "paper", traceorder: "normal", font: { size: 12.5 }, itemwidth: 30, bgcolor: "rgba(0,0,0,0)", ...(several ? { y: 1 + 22 / inner } : {}) },
      hovermode: plot.unified ? "x unified" : "closest",
      dragmode: touch ? false : "zoom",
      uirevision: "keep",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: text },
      shapes: [], annotations: [],
    };
    const values = (name) => data.flatMap((trace) => (trace.visible === true ? trace[name] : []));
    const room = { x: Math.max(3, Math.floor(plotWidth / columns / 62)), y: Math.max(3, Math.floor((plot.square ? height : panelHeight) / 42)) };
    const base = { x: axisLayout(plot.x, view.x, values("x"), room.x), y: axisLayout(plot.y, view.y, values("y"), room.y) };
    for (let panel = 0; panel < count; panel++) {
      const suffix = panel ? String(panel + 1) : "";
      const column = panel % columns, row = Math.floor(panel / columns);
      const w = (1 - gapX * (columns - 1)) / columns, h = (1 - gap * (rows - 1)) / rows;
      const left = column * (w + gapX), upper = 1 - row * (h + gap);
      const lowest = panel + columns >= count;
      out[`xaxis${suffix}`] = { ...base.x, domain: [left, Math.min(1, left + w)], anchor: `y${suffix}`, showticklabels: lowest, ...(panel ? { matches: "x" } : {}),
        ...(several ? {} : { title: { text: plot.x.title, standoff: 6, font: { size: 13 } } }), unifiedhovertitle: { text: `${plot.x.title} %{x:,d}` } };
      out[`yaxis${suffix}`] = { ...base.y, domain: [Math.max(0, upper - h), upper], anchor: `x${suffix}`, showticklabels: column === 0 || plot.free, ...(panel && !plot.stacked && !plot.free ? { matches: "y" } : {}),
        ...(several ? { automargin: false } : { title: { text: plot.y.title, standoff: 6, font: { size: 13 } } }) };
      if (several) out.annotations.push({ text: plot.panels[panel].replace(/&/g, "&amp;").replace(/</g, "&lt;"), showarrow: false, xref: "paper", yref: "paper", x: left, y: upper, xanchor: "left", yanchor: "bottom", font: { size: 12.5, color: text } });
      for (const { axis, at, text: label, place = "start", below = false, left = false } of plot.lines) {
        const flat = axis === "y";
        out.shapes.push({
          type: "line", layer: "above", line: { color: muted, width: 1, dash: "dot" },
          xref: flat ? `x${suffix} domain` : `x${suffix}`, yref: flat ? `y${suffix}` : `y${suffix} domain`,
          x0: flat ? 0 : at, x1: flat ? 1 : at, y0: flat ? at : 0, y1: flat ? at : 1,
          label: { text: label, textposition: place, yanchor: flat ? (below ? "top" : "bottom") : "top", xanchor: flat ? (place === "end" ? "right" : "left") : left ? "right" : "left", textangle: 0, font: { size: 11.5, color: muted } },
        });
      }
    }
    if (several) {
      const shared = { showarrow: false, xref: "paper", yref: "paper", font: { size: 13, color: text } };
      out.annotations.push({ ...shared, text: plot.x.title, x: 0.5, y: 0, yanchor: "top", yshift: -24 });
      out.annotations.push({ ...shared, text: plot.y.title, x: 0, y: 0.5, textangle: -90, xanchor: "right", xshift: plot.free ? -58 : -36 });
    }
    return out;
  };

  const draw = (box, width = box.clientWidth) => {
    const figure = figures[box.dataset.figure], view = views.get(box);
    const data = traces(figure, view), plan = layout(figure, view, width, data);
    view.width = width;
    for (const name of view.zoomed) plan[name].tickmode = "auto";
    return Plotly.react(box, data, plan, {
      responsive: false, displaylogo: false, displayModeBar: touch ? false : "hover", showSendToCloud: false, plotlyServerURL: "",
      modeBarButtonsToRemove: ["lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: box.dataset.figure },
    });
  };

  // ---- what the reader can change

  /* Hand-made ticks are for the whole range: when the reader zooms in, Plotly chooses them. */
  const zoomed = (box) => (change) => {
    const update = {}, { zoomed: names } = views.get(box);
    for (const key of Object.keys(change)) {
      const [, name, what] = key.match(/^([xy]axis\d*)\.(range|autorange)/) ?? [];
      if (!what || !box.layout[name].tickvals) continue;
      what === "range" ? names.add(name) : names.delete(name);
      update[`${name}.tickmode`] = what === "range" ? "auto" : "array";
    }
    if (Object.keys(update).some((key) => box.layout[key.split(".")[0]].tickmode !== update[key])) Plotly.relayout(box, update);
  };

  const press = (group, pressed) => group.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === pressed)));

  for (const box of boxes) {
    const { plot } = figures[box.dataset.figure];
    views.set(box, { x: plot.x.log, y: plot.y.log, hidden: new Set(), zoomed: new Set(), width: 0 });
    const tools = box.closest("figure").querySelector(".tools");
    tools.querySelectorAll(".switch button").forEach((button) =>
      button.addEventListener("click", () => {
        const view = views.get(box), { axis } = button.parentElement.dataset;
        view[axis] = button.dataset.log === "true";
        view.zoomed = new Set([...view.zoomed].filter((name) => !name.startsWith(axis)));
        press(button.parentElement, button);
        draw(box);
      }),
    );
    tools.querySelectorAll("button.key").forEach((button) =>
      button.addEventListener("click", () => {
        const { hidden } = views.get(box), { part } = button.dataset;
        hidden.has(part) ? hidden.delete(part) : hidden.add(part);
        button.setAttribute("aria-pressed", String(!hidden.has(part)));
        draw(box);
      }),
    );
    draw(box);
    box.on("plotly_relayout", zoomed(box));
  }

  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.clientWidth && target.clientWidth !== views.get(target).width) draw(target);
  });
  boxes.forEach((box) => widths.observe(box));

  const setTheme = (theme) => {
    root.dataset.theme = theme;
    boxes.forEach((box) => draw(box, views.get(box).width));
  };
  document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));

  // ---- the numbers of a figure as a file

  const cell = (value) => {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (columns) => {
    const names = Object.keys(columns);
    const rows = Math.max(...names.map((name) => columns[name].length));
    const lines = [names.map(cell).join(",")];
    for (let row = 0; row < rows; row++) lines.push(names.map((name) => cell(columns[name][row])).join(","));
    return lines.join("\n") + "\n";
  };
  document.querySelectorAll("a.csv").forEach((link) =>
    link.addEventListener("click", () => {
      if (link.href.startsWith("blob:")) return;
      link.href = URL.createObjectURL(new Blob([csv(figures[link.dataset.csv].columns)], { type: "text/csv" }));
    }),
  );

  // ---- on paper: light, unfolded, and no wider than the page

  let before = null;
  addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, closed: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    before.closed.forEach((details) => (details.open = true));
    boxes.forEach((box) => draw(box, Math.min(views.get(box).width, 660)));
  });
  addEventListener("afterprint", () => {
    before.closed.forEach((details) => (details.open = false));
    root.dataset.theme = before.theme;
    boxes.forEach((box) => draw(box));
  });
})();
