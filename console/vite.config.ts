import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = "http://127.0.0.1:8700";

export default defineConfig({
  plugins: [react()],
  // Fonts and icons stay files: the server's content policy allows no data: addresses.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 },
  server: { proxy: { "/v1": server, "/healthz": server, "/openapi.json": server } },
});
