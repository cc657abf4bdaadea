import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { ConfigProvider } from "antd";
import { Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";

import { Problem } from "./api/client";
import { antdLocale } from "./i18n/antd";
import type { Dictionary, Language } from "./i18n/dictionary";
import { I18nProvider, useI18n } from "./i18n/I18n";
import { ThemeProvider, useTheme } from "./hooks/useTheme";
import { Boundary } from "./parts/Boundary";
import { ConfirmProvider } from "./parts/Confirm";
import { NoticeProvider } from "./parts/Notices";
import { part } from "./parts/part";
import { Overview } from "./pages/Overview";
import { Gate } from "./shell/Gate";
import { Shell } from "./shell/Shell";
import { antdTheme } from "./styles/antd";

const Incidents = part(() => import("./pages/Incidents"));
const IncidentPage = part(() => import("./pages/Incident"));
const Verdicts = part(() => import("./pages/Verdicts"));
const DeadLetters = part(() => import("./pages/DeadLetters"));
const Automation = part(() => import("./pages/Automation"));
const DataPlane = part(() => import("./pages/DataPlane"));
const Rules = part(() => import("./pages/Rules"));

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // What was read last stays on the screen, marked stale, when the server is away.
      gcTime: 3_600_000,
      networkMode: "always",
      retry: (count, error) => count < 2 && (!(error instanceof Problem) || error.status === 0 || error.status >= 500),
      refetchOnWindowFocus: true,
    },
    mutations: { networkMode: "always", retry: false },
  },
});

export function App({ language, dictionary }: { language: Language; dictionary: Dictionary }) {
  return (
    <QueryClientProvider client={queries}>
      <I18nProvider first={language} dictionary={dictionary}>
        <ThemeProvider>
          <Themed />
        </ThemeProvider>
      </I18nProvider>
    </QueryClientProvider>
  );
}

function Themed() {
  const { language } = useI18n();
  const { dark } = useTheme();
  return (
    <ConfigProvider locale={antdLocale(language)} theme={antdTheme(dark)} button={{ autoInsertSpace: false }}>
      <NoticeProvider>
        <ConfirmProvider>
          <BrowserRouter>
            <Gate>
              <Shell>
                <Boundary>
                  <Suspense fallback={null}>
                    <Routes>
                      <Route path="/" element={<Overview />} />
                      <Route path="/incidents" element={<Incidents />} />
                      <Route path="/incidents/:id" element={<IncidentPage />} />
                      <Route path="/verdicts" element={<Verdicts />} />
                      <Route path="/dead-letters" element={<DeadLetters />} />
                      <Route path="/automation" element={<Automation />} />
                      <Route path="/rules" element={<Rules />} />
                      <Route path="/plane" element={<DataPlane />} />
                      <Route path="*" element={<Navigate to="/" replace />} />
                    </Routes>
                  </Suspense>
                </Boundary>
              </Shell>
            </Gate>
          </BrowserRouter>
        </ConfirmProvider>
      </NoticeProvider>
    </ConfigProvider>
  );
}
