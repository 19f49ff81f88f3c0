"use strict";
// Looks through the slices of a case: a canvas, its window, and the labels over it
(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const find = (id) => document.getElementById(id);
  const content = (id) => JSON.parse(find(id).textContent);
  const [view, profile, slider, told] = ["view", "profile", "slice", "slice-told"].map(find);
  const settings = content("viewer-settings");
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const AGREEMENT = ["tp", "fn", "fp"];
  let scan = null;
  let loading = 0;

  // Pictures

  // The grey of a picture, one byte a pixel
  const levels = async (source) => {
    const picture = new Image();
    picture.src = source;
    await picture.decode();
    const paper = canvas(picture.width, picture.height);
    const pen = paper.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0);
    const colours = pen.getImageData(0, 0, picture.width, picture.height).data;
    const bytes = new Uint8Array(colours.length / 4);
    for (let place = 0; place < bytes.length; place += 1) bytes[place] = colours[4 * place];
    return bytes;
  };

  const canvas = (width, height) => {
    const made = document.createElement("canvas");
    [made.width, made.height] = [width, height];
    return made;
  };

  // The bytes of one slice out of a picture of many
  const cut = (atlas, { width, height, columns }, slice) => {
    const bytes = new Uint8Array(width * height);
    const corner = Math.floor(slice / columns) * height * columns * width + (slice % columns) * width;
    for (let row = 0; row < height; row += 1) {
      const start = corner + row * columns * width;
      bytes.set(atlas.subarray(start, start + width), row * width);
    }
    return bytes;
  };

  // Level of a picture -> grey on the screen
  const greys = ({ level, width }) => Uint8ClampedArray.from({ length: 256 }, (_, code) => {
    const after = Math.max(settings.knots.findIndex(([, knot]) => knot >= code), 1);
    const [[low, first], [high, second]] = [settings.knots[after - 1], settings.knots[after]];
    const hu = low + ((code - first) / (second - first)) * (high - low);
    return ((hu - level) / width + 0.5) * 255;
  });

  // Slices

  const drawScan = (pen, slice) => {
    const grey = greys(settings.windows[document.querySelector("[name=window]:checked").value]);
    const bytes = cut(scan.levels, scan, slice);
    const small = canvas(scan.width, scan.height);
    const image = new ImageData(scan.width, scan.height);
    const words = new Uint32Array(image.data.buffer);
    bytes.forEach((code, place) => { words[place] = grey[code] * 0x010101 + 0xff000000; });
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, view.width, view.height);
  };

  // A byte of the labels is a pair of class numbers: its place in the list of inks, or -1
  const sorting = (kind) => {
    const everyPair = (place) => Int8Array.from({ length: 256 }, (_, pair) => place(
      Math.floor(pair / settings.referenceFactor), pair % settings.referenceFactor,
    ));
    if (kind === "reference" || kind === "prediction") {
      const inks = settings.classes.map((each) => each.colour);
      const place = (number) => (inks[number] ? number : -1);
      return { inks, places: everyPair((here, there) => place(kind === "reference" ? here : there)) };
    }
    const { classes } = settings.structures[kind];
    const places = everyPair((here, there) => {
      const [expected, found] = [classes.includes(here), classes.includes(there)];
      if (expected) return found ? 0 : 1;
      return found ? 2 : -1;
    });
    return { inks: AGREEMENT, places };
  };

  // Solid, striped and dotted: what is told by colour is told by texture too
  const texture = (pen, ink) => {
    if (ink !== "fn" && ink !== "fp") return colour(ink);
    const size = Math.max(Math.round(6 * devicePixelRatio), 4);
    const tile = canvas(size, size);
    const brush = tile.getContext("2d");
    [brush.fillStyle, brush.strokeStyle, brush.lineWidth] = [colour(ink), colour(ink), size * 0.42];
    brush.beginPath();
    if (ink === "fp") {
      brush.arc(size / 2, size / 2, size * 0.34, 0, 7);
      brush.fill();
    } else {
      // Three lines, so that the tiles join
      for (const shift of [-size, 0, size]) {
        brush.moveTo(shift - 2, size + 2);
        brush.lineTo(shift + size + 2, -2);
      }
      brush.stroke();
    }
    return pen.createPattern(tile, "repeat");
  };

  const drawLabels = (pen, slice) => {
    const { inks, places } = sorting(find("kind").value);
    const bytes = cut(scan.labels, scan, slice);
    pen.globalAlpha = Number(find("opacity").value);
    inks.forEach((ink, wanted) => {
      const image = new ImageData(scan.width, scan.height);
      let pixels = 0;
      bytes.forEach((pair, place) => {
        if (places[pair] === wanted) { image.data[4 * place + 3] = 255; pixels += 1; }
      });
      if (!pixels) return;
      const small = canvas(scan.width, scan.height);
      small.getContext("2d").putImageData(image, 0, 0);
      const large = canvas(view.width, view.height);
      const brush = large.getContext("2d");
      brush.imageSmoothingEnabled = false;
      brush.drawImage(small, 0, 0, large.width, large.height);
      brush.globalCompositeOperation = "source-in";
      brush.fillStyle = texture(brush, ink);
      brush.fillRect(0, 0, large.width, large.height);
      pen.drawImage(large, 0, 0);
    });
    pen.globalAlpha = 1;
  };

  // Right and left, and how long five centimetres are
  const drawMarks = (pen) => {
    const unit = devicePixelRatio;
    const bar = (50 / scan.pixelMm) * (view.width / scan.width);
    [pen.font, pen.fillStyle, pen.textBaseline] = [`${15 * unit}px system-ui, sans-serif`, colour("on-scan"), "middle"];
    [pen.strokeStyle, pen.lineWidth, pen.lineJoin] = [colour("scan"), 3 * unit, "round"];
    const write = (text, x, y) => { pen.strokeText(text, x, y); pen.fillText(text, x, y); };
    pen.textAlign = "left";
    write("R", 8 * unit, view.height / 2);
    pen.textAlign = "right";
    write("L", view.width - 8 * unit, view.height / 2);
    pen.font = `${11 * unit}px system-ui, sans-serif`;
    pen.strokeRect(view.width - 8 * unit - bar, view.height - 9 * unit, bar, 1.5 * unit);
    pen.fillRect(view.width - 8 * unit - bar, view.height - 9 * unit, bar, 1.5 * unit);
    write("5 cm", view.width - 8 * unit, view.height - 18 * unit);
  };

  const draw = () => {
    // Printed or folded away, the canvas has no size
    if (!scan || !view.clientWidth) return;
    const slice = Number(slider.value);
    const width = Math.round(view.clientWidth * devicePixelRatio);
    [view.width, view.height] = [width, Math.round((width * scan.height) / scan.width)];
    const pen = view.getContext("2d");
    drawScan(pen, slice);
    if (find("overlay").checked) drawLabels(pen, slice);
    drawMarks(pen);
    drawProfile(slice);
    told.value = `${scan.numbers[slice]} of ${scan.of}`;
    slider.setAttribute("aria-valuetext", `slice ${scan.numbers[slice]} of ${scan.of} from the feet`);
    view.setAttribute("aria-label", `${scan.case}, slice ${scan.numbers[slice]} of ${scan.of} from the feet`);
  };

  // Above the slider: how much of the labels lies in each slice
  const drawProfile = (current) => {
    const key = find("kind").value;
    const { inks, places } = sorting(key);
    scan.counts[key] ??= scan.numbers.map((_, slice) => {
      const counts = inks.map(() => 0);
      cut(scan.labels, scan, slice).forEach((pair) => {
        if (places[pair] >= 0) counts[places[pair]] += 1;
      });
      return counts;
    });
    const counts = scan.counts[key];
    const most = Math.max(...counts.map((each) => each.reduce((sum, count) => sum + count, 0)), 1);
    [profile.width, profile.height] = [profile.clientWidth * devicePixelRatio, profile.clientHeight * devicePixelRatio];
    const pen = profile.getContext("2d");
    // The slider's thumb does not reach its ends with its middle
    const inset = 8 * devicePixelRatio;
    const step = (profile.width - 2 * inset) / Math.max(counts.length - 1, 1);
    counts.forEach((each, slice) => {
      let bottom = profile.height;
      each.forEach((count, place) => {
        if (!count) return;
        const tall = (count / most) * (profile.height - 2);
        bottom -= tall;
        pen.fillStyle = colour(inks[place]);
        pen.fillRect(inset + (slice - 0.4) * step, bottom, 0.8 * step, tall);
      });
    });
    pen.fillStyle = colour("on-scan");
    pen.fillRect(inset + current * step - 0.5 * devicePixelRatio, 0, devicePixelRatio, profile.height);
  };

  // Controls

  const show = async (number) => {
    const turn = (loading += 1);
    const found = content(`slices-${number}`);
    const [grey, labels] = await Promise.all([levels(found.scan), levels(found.labels)]);
    // Another case was asked for meanwhile
    if (turn !== loading) return;
    scan = { ...found, levels: grey, labels, counts: {} };
    slider.max = found.numbers.length - 1;
    slider.value = found.start;
    slider.disabled = found.numbers.length < 2;
    find("grey-told").hidden = !found.grey;
    root.dataset.case = found.case;
    draw();
  };

  const move = (steps) => {
    const before = slider.value;
    slider.value = Math.min(Math.max(Number(before) + steps, 0), Number(slider.max));
    if (slider.value !== before) draw();
    return slider.value !== before;
  };

  const keys = {
    ArrowUp: () => move(1), ArrowRight: () => move(1), ArrowDown: () => move(-1), ArrowLeft: () => move(-1),
    PageUp: () => move(10), PageDown: () => move(-10), Home: () => move(-Infinity), End: () => move(Infinity),
    o: () => find("overlay").click(),
  };
  document.querySelectorAll("[name=window]").forEach((window, place) => { keys[place + 1] = () => window.click(); });

  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  // A page that is being scrolled goes on scrolling when the picture comes under the pointer
  let scrolled = 0;
  addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });
  view.addEventListener("wheel", (event) => {
    if (event.ctrlKey || performance.now() - scrolled < 250) return;
    if (move(event.deltaY > 0 ? -1 : 1)) event.preventDefault();
  }, { passive: false });

  root.addEventListener("input", (event) => {
    if (event.target.id === "case") { show(event.target.value); return; }
    const agreement = !Number.isNaN(Number(find("kind").value));
    find("legend-agreement").hidden = !agreement;
    find("legend-classes").hidden = agreement;
    draw();
  });
  document.querySelectorAll("[data-show]").forEach((link) => link.addEventListener("click", () => {
    find("case").value = link.dataset.show;
    show(link.dataset.show);
  }));
  new ResizeObserver(draw).observe(view.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  root.hidden = false;
  show(find("case").value);
})();
