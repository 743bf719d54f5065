// The list of keyboard shortcuts, opened by its button or "?". `element` comes from Gradio.

const dialog = element.querySelector("dialog");
element.querySelector("[data-do=open]").addEventListener("click", () => dialog.showModal());
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || dialog.open || !element.isConnected) return;
  if (event.target.closest("input:not([type=range],[type=radio]), select, textarea")) return;
  event.preventDefault();
  dialog.showModal();
});
