"use strict";
// One viewer per page: stacks of frames, scrolled by slider, keys, wheel and drag.
(() => {
  const viewer = document.querySelector(".viewer");
  const source = document.getElementById("stacks");
  if (!viewer || !source) return;
  const stacks = JSON.parse(source.textContent);
  const slider = viewer.querySelector("input[type=range]");
  const output = viewer.querySelector("output");
  const panels = [...viewer.querySelectorAll(".panel")].map((panel) => ({
    picture: Number(panel.dataset.picture),
    plane: panel.querySelector(".plane"),
    img: panel.querySelector("img"),
    svg: panel.querySelector(".plane svg"),
    edges: [...panel.querySelectorAll(".edge")],
    paths: [...panel.querySelectorAll("path[data-path]")],
    cover: panel.querySelector("path.cover"),
    name: panel.dataset.name,
  }));
  const place = stacks.map((stack) => stack.start);
  let current = 0;

  function show() {
    const stack = stacks[current];
    const number = place[current];
    const frame = stack.frames[number];
    const text = frame.title + ": " + frame.words;
    for (const panel of panels) {
      panel.img.src = "data:image/jpeg;base64," + frame.p[panel.picture];
      panel.img.width = stack.width;
      panel.img.height = stack.height;
      panel.img.alt = (panel.name ? panel.name + ", " : "") + text;
      panel.svg.setAttribute("viewBox", `0 0 ${2 * stack.width} ${2 * stack.height}`);
      for (const path of panel.paths) path.setAttribute("d", frame.d[Number(path.dataset.path)]);
      if (panel.cover) {
        // All but the lungs, whose outlines are the first two paths.
        const frameEdge = `M0 0H${2 * stack.width}V${2 * stack.height}H0z`;
        panel.cover.setAttribute("d", frameEdge + frame.d[0] + frame.d[1]);
      }
      panel.edges.forEach((edge, k) => { edge.textContent = stack.edges[k]; });
    }
    slider.max = String(stack.frames.length - 1);
    slider.value = String(number);
    slider.setAttribute("aria-valuetext", text);
    output.textContent = text;
  }

  function move(steps) {
    const last = stacks[current].frames.length - 1;
    const next = Math.min(last, Math.max(0, place[current] + steps));
    if (next === place[current]) return false;
    place[current] = next;
    show();
    return true;
  }

  slider.addEventListener("input", () => {
    place[current] = Number(slider.value);
    show();
  });
  for (const radio of viewer.querySelectorAll("input[name=view]")) {
    radio.addEventListener("change", () => {
      current = stacks.findIndex((stack) => stack.kind === radio.value);
      show();
    });
  }
  for (const radio of viewer.querySelectorAll("input[name=window]")) {
    radio.addEventListener("change", () => { viewer.dataset.window = radio.value; });
  }
  for (const box of viewer.querySelectorAll("input[data-outline]")) {
    box.addEventListener("change", () => {
      const names = box.dataset.outline.split(" ");
      for (const path of viewer.querySelectorAll("path[data-name]")) {
        if (names.includes(path.dataset.name)) path.style.display = box.checked ? "" : "none";
      }
    });
  }
  for (const panel of panels) {
    // At the end of the stack the wheel scrolls the page again.
    panel.plane.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.deltaY === 0) return;
      if (move(event.deltaY > 0 ? -1 : 1)) event.preventDefault();
    }, { passive: false });
    let from = null;
    panel.plane.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      panel.plane.setPointerCapture(event.pointerId);
    });
    panel.plane.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const steps = Math.trunc((event.clientX - from) / 6);
      if (steps !== 0) {
        move(steps);
        from += 6 * steps;
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      panel.plane.addEventListener(end, () => { from = null; });
    }
  }
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return;
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10,
                    PageDown: -10, Home: -1e6, End: 1e6 }[event.key];
    if (steps !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) {
      move(steps);
      event.preventDefault();
    }
  });
  show();
  viewer.hidden = false;
})();
