// Brings an answer into view once it is there, without taking the focus away from the question.
window.showAnswer = () => {
  const text = document.getElementById("document-text");
  const mark = document.getElementById("answer-1");
  if (text && mark) {
    // Paragraphs get their true height when they come near, so a jump lands a little off until all near ones have it.
    const place = () => mark.getBoundingClientRect().top - text.getBoundingClientRect().top;
    let landed = NaN, still = 0, frames = 0;
    const bring = () => {
      still = Math.abs(place() - landed) < 1 ? still + 1 : 0;
      text.scrollBy({ top: place() - text.clientHeight / 3, behavior: "instant" });
      landed = place();
      if (still < 5 && ++frames < 120) requestAnimationFrame(bring);
    };
    bring();
  }
  if (window.innerWidth < 760) document.getElementById("answer")?.scrollIntoView({ block: "start" });
};

window.preparePage = () => {
  // Screen readers announce the answer and the notice when they change.
  for (const id of ["answer", "notice"]) document.getElementById(id)?.setAttribute("aria-live", "polite");
  // Gradio's radio buttons have no name, so each would be a stop of its own for the Tab key: make them groups.
  const group = () => {
    for (const id of ["examples", "questions"]) {
      for (const input of document.querySelectorAll(`#${id} input[type=radio]`)) input.name = id;
    }
  };
  group();
  new MutationObserver(group).observe(document.body, { childList: true, subtree: true });
};
