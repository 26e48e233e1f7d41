//! The console's files, as its build made them.

/// A file of the console.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its path below the origin.
    pub(super) path: &'static str,
    /// Its bytes.
    pub(super) plain: &'static [u8],
    /// The same, compressed.
    pub(super) gzip: &'static [u8],
}

/// What the build made of `console/dist`.
static BUNDLE: &[Asset] = include!(concat!(env!("OUT_DIR"), "/console.rs"));
/// What is told where the console was not built.
static PLACEHOLDER: Asset = Asset {
    path: super::INDEX,
    plain: include_bytes!("placeholder.html"),
    gzip: include_bytes!("placeholder.html"),
};

/// The file at a path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    let found = BUNDLE.iter().find(|asset| asset.path == path);
    found.or_else(|| (path == super::INDEX).then_some(&PLACEHOLDER))
}

impl Asset {
    /// Does its name change with what is in it? Vite puts such files into a folder of their own.
    pub(super) fn is_hashed(&self) -> bool {
        self.path.starts_with("assets/")
    }

    /// A validator (RFC 9110 section 8.8.3), weak since it is of both encodings.
    pub(super) fn etag(&self) -> String {
        format!(
            "W/\"{:08x}-{:x}\"",
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, self.plain),
            self.plain.len()
        )
    }

    /// Its media type, by its name.
    pub(super) fn media_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("html") => "text/html; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("json" | "map") => "application/json",
            Some("webmanifest") => "application/manifest+json",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("ico") => "image/x-icon",
            Some("woff2") => "font/woff2",
            Some("txt") => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }
}
