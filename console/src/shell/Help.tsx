import { Modal } from "antd";

import { useI18n } from "../i18n/I18n";
import type { Key } from "../i18n/dictionary";

const KEYS: { keys: string[]; does: Key }[] = [
  { keys: ["j", "k"], does: "help.move" },
  { keys: ["Enter"], does: "help.enter" },
  { keys: ["/"], does: "help.search" },
  { keys: ["a"], does: "help.approve" },
  { keys: ["u"], does: "help.undo" },
  { keys: ["e"], does: "help.label" },
  { keys: ["n"], does: "help.fresh" },
  { keys: ["Esc"], does: "help.escape" },
  { keys: ["g", "o"], does: "nav.overview" },
  { keys: ["g", "i"], does: "nav.incidents" },
  { keys: ["g", "v"], does: "nav.verdicts" },
  { keys: ["g", "d"], does: "nav.dead_letters" },
  { keys: ["g", "p"], does: "nav.automation" },
  { keys: ["g", "r"], does: "nav.rules" },
  { keys: ["g", "s"], does: "nav.plane" },
  { keys: ["?"], does: "help.help" },
];

export default function Help({ close }: { close: () => void }) {
  const { t } = useI18n();
  return (
    <Modal open onCancel={close} footer={null} title={t("help.title")} width={460}>
      <dl className="keys">
        {KEYS.map(({ keys, does }) => (
          <div key={does}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(does)}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
