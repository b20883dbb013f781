// How far the page is wider than its window, and which labels of a plot touch each other or its edge.
const root = document.documentElement;
root.dataset.overflow = Math.max(0, root.scrollWidth - root.clientWidth);
const overlaps = [];
for (const plot of document.querySelectorAll("svg")) {
  const edge = plot.getBoundingClientRect();
  const texts = [...plot.querySelectorAll("text")].filter((text) => text.textContent.trim());
  const boxes = texts.map((text) => [text.textContent.trim(), text.getBoundingClientRect()]);
  boxes.forEach(([name, box], at) => {
    if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.bottom > edge.bottom + 1) {
      overlaps.push(`${name} leaves the plot`);
    }
    for (const [other, next] of boxes.slice(at + 1)) {
      const apart = box.right <= next.left || next.right <= box.left || box.bottom <= next.top || next.bottom <= box.top;
      if (!apart) overlaps.push(`${name} on ${other}`);
    }
  });
}
root.dataset.overlaps = overlaps.join("; ");
// In a frame as wide as a phone, the page around it is what a test can read.
if (parent !== window) parent.postMessage({ ...root.dataset }, "*");
