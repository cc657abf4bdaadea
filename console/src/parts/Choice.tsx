/** One of a few words, as a row of radio buttons that reads like text. */
export interface Option {
  value: string;
  label: string;
  count?: number | undefined;
}

export function Choice(props: { label: string; value: string; options: Option[]; change: (value: string) => void }) {
  return (
    <div className="choice" role="group" aria-label={props.label}>
      {props.options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === props.value}
          onClick={() => props.change(option.value)}
        >
          {option.label}
          {option.count === undefined ? null : <span className="count">{option.count}</span>}
        </button>
      ))}
    </div>
  );
}
