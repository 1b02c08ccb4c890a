// Draws the pictures of a page: every element with `data-plot` holds its numbers as JSON.
"use strict";
(() => {
  const drawn = new WeakMap();
  const HEIGHT = 230;

  function colours() {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue("--" + name).trim();
  }

  // A colour of the sheet, let through: #rrggbb with an alpha.
  const veil = (colour) => colour + "2e";

  function axes(colour, values) {
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif" };
    return [{ ...axis, space: 80, values: moments }, { ...axis, size: 52, values: values }];
  }

  // 24 hours and days as 2026-11-25, in UTC as everything else; a day is named where it begins.
  function moments(_, ticks, __, ___, step) {
    let before = "";
    return ticks.map((seconds) => {
      const [day, time] = new Date(seconds * 1000).toISOString().split("T");
      if (step >= 86400) return day;
      const words = time.slice(0, step < 60 ? 8 : 5) + (day === before ? "" : "\n" + day);
      before = day;
      return words;
    });
  }

  // Where few points make no area, the band of each is a line of its own.
  function whiskers(pairs) {
    return (plot) => {
      if (plot.data[0].length > 2) return;
      const { ctx } = plot;
      ctx.save();
      ctx.lineWidth = 3 * devicePixelRatio;
      for (const [high, low, stroke] of pairs) {
        ctx.strokeStyle = stroke;
        plot.data[0].forEach((time, place) => {
          if (plot.data[high][place] === null || plot.data[high][place] === undefined) return;
          const x = plot.valToPos(time, "x", true);
          ctx.beginPath();
          ctx.moveTo(x, plot.valToPos(plot.data[high][place], "y", true));
          ctx.lineTo(x, plot.valToPos(plot.data[low][place], "y", true));
          ctx.stroke();
        });
      }
      ctx.restore();
    };
  }

  const percents = (_, ticks) => ticks.map((tick) => (tick >= 1 || tick === 0 ? Math.round(tick) : tick) + " %");

  const kinds = {
    ramp(data, colour) {
      return {
        data: [data.times, data.share],
        top: 100,
        series: [{ label: "share", stroke: colour("fill"), fill: veil(colour("fill")), width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: true, size: 6 } }],
      };
    },
    failures(data, colour) {
      const line = (label, name, dash) => ({ label: label, stroke: colour(name), width: 2, dash: dash, spanGaps: true, points: { show: true, size: 5 } });
      const edge = (label) => ({ label: label, stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
      const most = Math.max(10, ...data.exposedHigh.concat(data.controlHigh).filter((value) => value !== null));
      return {
        data: [data.times, data.exposedHigh, data.exposedLow, data.exposed, data.controlHigh, data.controlLow, data.control],
        top: Math.min(100, most * 1.05),
        series: [edge("most"), edge("least"), line("with the candidate", "exposed"), edge("most"), edge("least"), line("with the baseline", "control", [7, 4])],
        drawn: whiskers([[1, 2, veil(colour("exposed"))], [4, 5, veil(colour("control"))]]),
        bands: [{ series: [1, 2], fill: veil(colour("exposed")) }, { series: [4, 5], fill: veil(colour("control")) }],
      };
    },
    evidence(data, colour) {
      const line = (label, name) => ({ label: label, stroke: colour(name), width: 2, points: { show: true, size: 5 } });
      return {
        data: [data.times, data.windows, data.events, data.times.map(() => 100)],
        top: Math.max(110, ...data.windows.concat(data.events)) * 1.02,
        series: [line("by windows", "windows"), line("by events", "events"), { label: "rollback", stroke: colour("limit"), width: 2, dash: [6, 5], points: { show: false } }],
      };
    },
  };

  function draw(element) {
    const data = JSON.parse(element.dataset.plot);
    const before = drawn.get(element);
    if (before) before.destroy();
    element.replaceChildren();
    if (data.times.length === 0) {
      const nothing = document.createElement("p");
      nothing.className = "quiet";
      nothing.textContent = "Nothing is known yet.";
      element.append(nothing);
      drawn.delete(element);
      return;
    }
    const colour = colours();
    const kind = kinds[data.kind](data, colour);
    // One moment alone makes no line: it is drawn a little wide.
    const [first, last] = [data.times[0], data.times[data.times.length - 1]];
    const wide = (last - first) * 0.02;
    const range = last > first ? [first - wide, last + wide] : [first - 1800, first + 1800];
    const plot = new uPlot({
      width: Math.max(200, element.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      scales: { x: { time: true, range: () => range }, y: { range: () => [0, kind.top] } },
      axes: axes(colour, percents),
      series: [{}, ...kind.series],
      bands: kind.bands,
      hooks: { draw: kind.drawn ? [kind.drawn] : [] },
    }, kind.data, element);
    drawn.set(element, plot);
    element.dataset.drawn = String(data.times.length);
  }

  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = drawn.get(target);
      const width = Math.max(200, target.clientWidth);
      if (plot && plot.width !== width) plot.setSize({ width: width, height: HEIGHT });
    }
  });

  const shown = new WeakMap();
  function drawAll(again) {
    for (const element of document.querySelectorAll("[data-plot]")) {
      if (!again && shown.get(element) === element.dataset.plot) continue;
      shown.set(element, element.dataset.plot);
      draw(element);
      sizes.observe(element);
    }
  }

  window.pinionPictures = () => drawAll(false);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
  drawAll(false);
})();
