import { useQueryClient } from "@tanstack/react-query";

import { send } from "../api/client";
import { useSession } from "../api/queries";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { useNotices } from "../parts/Notices";

/** Who is signed in, and the way out. */
export function Who() {
  const { t, word } = useI18n();
  const { complain } = useNotices();
  const queries = useQueryClient();
  const session = useSession().data;
  if (!session) return null;
  const leave = async () => {
    try {
      await send("DELETE", "/v1/session");
      queries.clear();
      window.location.assign("/");
    } catch (error) {
      complain(error);
    }
  };
  return (
    <>
      <button type="button" className="tool" popoverTarget="who" aria-label={t("who", { user: session.user })}>
        <Icon name="person" />
        <span className="wide-only">{session.user}</span>
      </button>
      <div id="who" popover="auto" className="menu">
        <p>
          {session.user} · {word("role", session.role)}
        </p>
        <button type="button" onClick={() => void leave()}>
          {t("signout")}
        </button>
      </div>
    </>
  );
}
