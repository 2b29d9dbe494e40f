// Keeps the figures of a page up to date. Without it the page works and shows what it showed when it was asked for.
//
// data-live="[address, key, ...]" data-form="..."  a figure, where it is in which JSON answer, and how it is written
// data-watch="[address, key, ...]" data-value="..." a part that is fetched anew when that value changes (data-part)
// data-ago="milliseconds"                           a time, told as an age
// data-copy="id"                                    a button that copies a field
"use strict";
(() => {
  const EVERY_MS = 10000;
  const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

  // The same words as pool/web/units.py.
  const hashrate = (value) => {
    let step = 0;
    while (value >= 999.5 && step < PREFIXES.length - 1) { value /= 1000; step += 1; }
    return value.toFixed(step === 0 || value >= 99.95 ? 0 : 1) + " " + PREFIXES[step] + "H/s";
  };
  const count = (value) => value === null ? "–" : value.toLocaleString("en-US");
  const coins = (value) => {
    const digits = String(Math.abs(value)).padStart(9, "0");
    const whole = digits.slice(0, -8).replace(/\B(?=(\d{3})+$)/g, ",");
    return (value < 0 ? "-" : "") + whole + "." + digits.slice(-8);
  };
  const duration = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const minutes = Math.floor(whole / 60), hours = Math.floor(whole / 3600), days = Math.floor(whole / 86400);
    if (whole < 60) return whole + " s";
    if (minutes < 60) return minutes + " min";
    if (hours < 24) return hours + " h " + String(minutes % 60).padStart(2, "0") + " min";
    return days + " d " + (hours % 24) + " h";
  };
  const FORMS = {
    hashrate, count, coins,
    text: (value) => String(value),
    yes: (value) => value ? "yes" : "no",
  };

  // What lies at the end of a path; an object in the path picks the item of a list that has this name.
  const find = (answer, path) => path.reduce((at, key) => {
    if (at === undefined || at === null) return undefined;
    return typeof key === "object" ? at.find((item) => item.name === key.name) : at[key];
  }, answer);

  const show = (element, value) => {
    if (element.dataset.form === "state") {
      const shown = element.querySelector(".state");
      if (shown && !shown.classList.contains("is-" + value)) {
        shown.className = "state is-" + value;
        shown.textContent = String(value).replaceAll("_", " ");
      }
      return;
    }
    const text = FORMS[element.dataset.form](value);
    if (element.textContent !== text) element.textContent = text;
  };

  const ages = () => {
    for (const element of document.querySelectorAll("[data-ago]")) {
      const seconds = (Date.now() - skewMs - Number(element.dataset.ago)) / 1000;
      const text = duration(seconds) + " ago";
      if (element.textContent !== text) element.textContent = text;
    }
  };

  // Parts of this page, fetched anew; what stays the same is not touched, so that nothing loses the focus.
  const renew = async () => {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const newer = fresh.querySelector('[data-part="' + part.dataset.part + '"]');
      if (newer) part.replaceWith(newer);
    }
  };

  let skewMs = 0;
  let waitMs = EVERY_MS;

  const update = async () => {
    const wanted = [...document.querySelectorAll("[data-live]")].map((element) => [element, JSON.parse(element.dataset.live)]);
    const watched = [...document.querySelectorAll("[data-watch]")].map((element) => [element, JSON.parse(element.dataset.watch)]);
    const sources = new Set([...wanted, ...watched].map(([, path]) => path[0]));
    waitMs = EVERY_MS;
    let isStale = false;
    for (const source of sources) {
      const answer = await fetch(source);
      if (answer.status === 429 || answer.status === 503) {
        waitMs = Math.max(waitMs, 1000 * (Number(answer.headers.get("Retry-After")) || 30));
      }
      if (!answer.ok) throw new Error(answer.status);
      const told = Date.parse(answer.headers.get("Date"));
      if (told) skewMs = Date.now() - told;
      const body = await answer.json();
      for (const [element, path] of wanted) {
        const value = path[0] === source ? find(body, path.slice(1)) : undefined;
        if (value !== undefined) show(element, value);
      }
      for (const [element, path] of watched) {
        const value = path[0] === source ? find(body, path.slice(1)) : undefined;
        if (value !== undefined && String(value) !== element.dataset.value) isStale = true;
      }
    }
    if (isStale) await renew();
  };

  const live = document.getElementById("live");
  const say = (words) => { if (live && live.textContent !== words) live.textContent = words; };
  const again = async () => {
    if (!document.hidden) {
      try {
        await update();
        say("");
      } catch {
        say("The figures are not up to date: the pool does not answer.");
        waitMs = Math.max(waitMs, 3 * EVERY_MS);
      }
      ages();
    }
    setTimeout(again, waitMs);
  };
  if (document.querySelector("[data-live], [data-watch]")) setTimeout(again, EVERY_MS);
  else setInterval(ages, EVERY_MS);

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copy);
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        say("Copied.");
      } catch {
        say("Selected: copy it with Ctrl+C.");
      }
    });
  }
})();
