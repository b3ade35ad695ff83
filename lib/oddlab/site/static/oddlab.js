// Sliders without a kernel: the picture of every setting of a grid was drawn beforehand.
function begin(root) {
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const controls = [...root.querySelectorAll("input, select")];
  const picture = root.querySelector("img");
  const code = root.querySelector("code");

  function place(control) {
    if (control.type === "checkbox") return [Number(control.checked), 2];
    if (control.type === "range") return [Number(control.value), Number(control.max) + 1];
    return [control.selectedIndex, control.options.length];
  }

  function draw() {
    let setting = 0;
    for (const control of controls) {
      const [at, count] = place(control);
      setting = setting * count + at;
      if (control.type === "range") {
        const said = JSON.parse(control.dataset.said)[at];
        control.setAttribute("aria-valuetext", said);
        control.parentElement.querySelector("output").textContent = said;
      }
    }
    picture.src = `${root.dataset.source}/${data.names[data.pictures[setting]]}`;
    picture.alt = `The figure at the settings ${data.codes[setting]}`;
    code.textContent = data.codes[setting];
  }

  function reset() {
    for (const control of controls) {
      if (control.type === "checkbox") control.checked = control.defaultChecked;
      else if (control.type === "range") control.value = control.defaultValue;
      else control.selectedIndex = [...control.options].findIndex((option) => option.defaultSelected);
    }
    draw();
  }

  function copy() {
    // The code is selected first, so that it can be copied by hand where the browser refuses.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }

  // All pictures are fetched once somebody is about to move a control, so that none is waited for.
  function fetchAll() {
    for (const name of data.names) new Image().src = `${root.dataset.source}/${name}`;
  }

  root.classList.add("oddlab-live");
  for (const control of controls) control.addEventListener("input", draw);
  root.querySelector(".oddlab-reset").addEventListener("click", reset);
  root.querySelector(".oddlab-copy").addEventListener("click", copy);
  root.addEventListener("pointerenter", fetchAll, { once: true });
  root.addEventListener("focusin", fetchAll, { once: true });
  reset();
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".oddlab-stills").forEach(begin));
