import type { ReactNode } from "react";

export type Line = { name: string; value: ReactNode; of?: string | undefined };

/** A panel of named numbers in a fixed order. */
export function Numbers({ id, title, lines, children }: { id: string; title: string; lines: Line[]; children?: ReactNode }) {
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="panelhead">
        <h2 id={id}>{title}</h2>
      </div>
      <dl className="numbers" data-list={id}>
        {lines.map(({ name, value, of }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <span className="num">{value}</span>
              {of ? <span className="quiet"> {of}</span> : null}
            </dd>
          </div>
        ))}
      </dl>
      {children}
    </section>
  );
}
