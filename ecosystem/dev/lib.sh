# A function for the scripts here and in ecosystem/bench, which source this file.

# To be called after a build in a fresh folder. The crate waproto writes a file into its build folder that cargo watches
# for changes. The file is newer than the build, so the next cargo build would compile waproto and every crate above it
# once more, which takes minutes. A file with an old time does not cause that.
cargo_settled() {
    find "${CARGO_TARGET_DIR:-target}" -maxdepth 6 -path '*/waproto-*/out/whatsapp.local.desc' -exec touch -d 2001-01-01 {} +
}
