// What a page needs beyond htmx: keys, times in the reader's zone, the stream that says "look again".
(() => {
  const search = () => document.getElementById("search");
  const hits = () => document.getElementById("hits");
  const writing = (element) => element.closest("input, textarea, select, [contenteditable]") !== null;

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !writing(event.target) && search()) {
      event.preventDefault();
      search().focus();
      search().select();
    }
    if (event.key === "Escape" && hits()) {
      hits().replaceChildren();
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest(".bar-search")) {
      const links = [...hits().querySelectorAll("a")];
      const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      if (links.length) {
        event.preventDefault();
        (links[at] || search()).focus();
      }
    }
  });

  const zoned = new Intl.DateTimeFormat("en-CA", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZoneName: "short",
  });
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const part = Object.fromEntries(zoned.formatToParts(new Date(time.dateTime)).map((p) => [p.type, p.value]));
      time.title = time.dateTime;
      time.textContent =
        `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
    }
  };
  localise(document);
  document.addEventListener("htmx:afterSwap", (event) => localise(event.detail.target.parentNode || document));

  for (const sign of document.querySelectorAll("[data-stream]")) {
    const live = sign.textContent;
    const stream = new EventSource(sign.dataset.stream);
    stream.addEventListener("changed", () => document.body.dispatchEvent(new Event("turnup:changed")));
    stream.onopen = () => {
      if (sign.classList.contains("lost")) {
        document.body.dispatchEvent(new Event("turnup:changed"));
      }
      sign.classList.remove("lost");
      sign.textContent = live;
    };
    stream.onerror = () => {
      sign.classList.add("lost");
      sign.textContent = sign.dataset.streamLost;
    };
  }
})();
