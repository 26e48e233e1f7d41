import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    target: "es2022",
    cssTarget: "chrome123",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      output: {
        // One file per service, so that the first paint needs none of the AWS clients.
        manualChunks(id) {
          const service = /@aws-sdk\/client-([a-z0-9]+)\//.exec(id)?.[1];
          if (service) return service;
          if (/node_modules\/(@aws-sdk|@smithy|@aws-crypto|@aws|tslib)\//.test(id)) return "aws";
          if (/node_modules\/(preact|@preact)\//.test(id) || /src\/(ui\/core|session|router|format|theme|api\/errors)\./.test(id)) return "base";
          return undefined;
        },
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
});
