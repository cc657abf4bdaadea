import { useEffect, type ReactNode } from "react";

/** The page's name, in the page and in the browser's tab, with what belongs beside it. */
export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Tocsin`;
  }, [title]);
  return (
    <header className="pagehead">
      <h1>{title}</h1>
      <div className="pagehead-side">{children}</div>
    </header>
  );
}
