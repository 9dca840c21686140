// Shows the values under the pointer at once, also by touch. Without this module the browser shows them as a tooltip, late.

let shown = null;
let title = null;
let tip = null;

function leave() {
  if (title && shown?.isConnected) shown.prepend(title);
  shown?.classList.remove('shown');
  tip?.remove();
  shown = title = tip = null;
}

function enter(point, event) {
  leave();
  const figure = point.closest('figure');
  title = point.querySelector('title');
  if (!figure || !title) return;
  shown = point;
  point.classList.add('shown');
  tip = document.createElement('div');
  tip.className = 'tip';
  tip.setAttribute('aria-hidden', 'true');
  // While the browser's tooltip is taken away, it cannot cover this one.
  tip.textContent = title.textContent;
  title.remove();
  figure.append(tip);
  place(figure, event);
}

function place(figure, { clientX }) {
  const [frame, own, box] = [figure.getBoundingClientRect(), tip.getBoundingClientRect(), shown.querySelector('.hit').getBoundingClientRect()];
  const right = clientX + 14 + own.width < Math.min(frame.right, innerWidth - 8);
  const x = right ? clientX + 14 : clientX - 14 - own.width;
  tip.style.translate = `${Math.round(Math.max(4, x) - frame.left)}px ${Math.round(box.top - frame.top + 6)}px`;
}

export function begin() {
  document.addEventListener('pointerover', (event) => {
    const point = event.target.closest?.('.plot .at');
    if (!point) leave();
    else if (point !== shown) enter(point, event);
  });
  document.addEventListener('pointermove', (event) => {
    const figure = tip && shown.isConnected && tip.parentElement;
    if (figure) place(figure, event);
    else if (tip) leave();
  });
  document.addEventListener('pointerleave', leave);
  addEventListener('scroll', leave, { passive: true });
}

/** Takes the values away before the page changes below them, and brings them back if the pointer still rests there. */
export function around(change) {
  const [key, at, left] = [shown?.closest('figure')?.dataset.key, shown && [...shown.parentNode.children].indexOf(shown), tip?.getBoundingClientRect().left];
  leave();
  change();
  if (key === undefined || at === null) return;
  const point = document.querySelector(`figure[data-key="${CSS.escape(key)}"] > svg`)?.children[at];
  if (point?.matches('.at')) enter(point, { clientX: left - 14 });
}
