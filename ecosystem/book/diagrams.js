// Draws the diagrams: blocks of code in the language mermaid.
for (const code of document.querySelectorAll('code.language-mermaid')) {
  const drawing = document.createElement('pre');
  drawing.className = 'mermaid';
  drawing.textContent = code.textContent;
  code.parentElement.replaceWith(drawing);
}
const dark = ['ayu', 'coal', 'navy'].some((theme) => document.documentElement.classList.contains(theme));
mermaid.initialize({ startOnLoad: true, theme: dark ? 'dark' : 'default' });
