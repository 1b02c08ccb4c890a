// Keeps a page as the server has it: told of a change, it fetches itself and takes over what differs.
// What has the focus, what was typed and forms that are open stay as they are.
"use strict";
(() => {
  const light = document.getElementById("live");
  const news = document.getElementById("news");
  let source = null;
  let running = false;
  let again = false;

  function show(words, on) {
    if (light.textContent !== words) light.textContent = words;
    light.classList.toggle("on", on);
    light.classList.toggle("off", !on);
  }

  const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || null : null);
  const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);
  const isOpenForm = (node) => node.nodeName === "DETAILS" && node.open && node.querySelector("form");

  function attributes(old, next) {
    for (const { name } of [...old.attributes]) {
      if (next.hasAttribute(name) || (old.nodeName === "DETAILS" && name === "open") || name === "data-drawn") continue;
      old.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  // Makes `old` like `next`, in place.
  function take(old, next) {
    if (old.isEqualNode(next)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    if (isOpenForm(old)) return;
    const isField = old.matches("input, select, textarea");
    if (isField && (old === document.activeElement || (old.type !== "hidden" && old.value !== old.defaultValue))) return;
    attributes(old, next);
    if (!old.hasAttribute("data-keep")) children(old, next);
  }

  function children(old, next) {
    let at = old.firstChild;
    for (const wanted of [...next.childNodes]) {
      let found = at;
      while (found && !alike(found, wanted)) found = key(wanted) ? found.nextSibling : null;
      if (found) {
        // Those in between are gone, or come later under their own id.
        while (at !== found) {
          const gone = at;
          at = at.nextSibling;
          if (!isOpenForm(gone)) gone.remove();
        }
        take(found, wanted);
        at = found.nextSibling;
      } else {
        old.insertBefore(document.importNode(wanted, true), at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      if (!isOpenForm(gone)) gone.remove();
    }
  }

  async function update() {
    // What a form was answered with is of that moment.
    if (document.querySelector("[data-still]")) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        const answer = await fetch(location.href, { headers: { "x-pinion-update": "1", accept: "text/html" }, cache: "no-store", credentials: "same-origin" });
        if (answer.status === 401) {
          signedOut();
          return;
        }
        if (answer.status >= 500) continue;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const [old, next] = [document.getElementById("main"), page.getElementById("main")];
        if (!next) continue;
        // What a step has just been answered with stays until the reader goes on.
        for (const note of old.querySelectorAll(":scope > .note")) next.prepend(note.cloneNode(true));
        const said = next.dataset.news;
        if (said && said !== old.dataset.news) news.textContent = said;
        attributes(old, next);
        children(old, next);
        if (document.title !== page.title) document.title = page.title;
        if (window.pinionPictures) window.pinionPictures();
        document.documentElement.dataset.updates = String(Number(document.documentElement.dataset.updates || 0) + 1);
      } while (again);
    } catch {
      show("not live: the server does not answer", false);
    } finally {
      running = false;
    }
  }

  function signedOut() {
    close();
    show("signed out: load the page again", false);
    news.textContent = "You are signed out; load the page again.";
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  function listen() {
    if (source || document.hidden) return;
    source = new EventSource("/events");
    source.addEventListener("hello", () => {
      show("live", true);
      update();
    });
    source.addEventListener("changed", update);
    source.addEventListener("signed-out", signedOut);
    source.onerror = () => {
      show("not live: connecting again", false);
      // Refused for good: whether we are signed out the page itself tells; else it is tried again later.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        update();
        setTimeout(listen, 10000);
      }
    };
  }

  // A page that nobody sees listens to nothing: browsers allow few connections to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : listen()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", listen);
  // Times such as "in 3 h" go on without any change.
  setInterval(() => { if (source) update(); }, 60000);
  listen();
})();
