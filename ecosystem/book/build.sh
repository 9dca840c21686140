#!/usr/bin/env bash
# Builds the book from README.md, docs/ and the examples into target/book/html, and checks its links (make docs). The pages keep
# their places, so that links between them are the same in the repository.
set -euo pipefail
cd "$(dirname "$0")/../.."

book=${CARGO_TARGET_DIR:-target}/book
source=$book/source
rm -rf "$source" "$book/html"
mkdir -p "$source/ecosystem/sandbox" "$source/tests/baileys"
cp -r README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs "$source"
cp -r ecosystem/sandbox/docs "$source/ecosystem/sandbox"
cp -r ecosystem/examples "$source/ecosystem"
cp tests/baileys/client.mjs "$source/tests/baileys"
cp ecosystem/book/{book.toml,diagrams.js} "$source"

# The links of the list of pages are those of its place in the repository. The decisions stand below their list, by their titles.
while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
        *decisions/README.md*)
            for decision in docs/decisions/[0-9]*.md; do
                printf '  - [%s](%s)\n' "$(sed -n '1s/^# *//p' "$decision")" "$decision"
            done
            ;;
    esac
done < <(sed 's#(../../#(#' ecosystem/book/SUMMARY.md) >"$source/SUMMARY.md"

# The program that draws the diagrams, once for all builds.
version=11.4.1 sum=ec7b61b391aaa24bf666fd20e48d0a626eeb4a95b95bc6b3016a122d7f0bc2af
if ! [ -f "$book/mermaid-$version.tgz" ]; then
    (cd "$book" && npm pack --silent "mermaid@$version" >/dev/null)
fi
sha256sum --quiet --check <<<"$sum  $book/mermaid-$version.tgz"
tar -xzf "$book/mermaid-$version.tgz" -C "$source" --strip-components=2 package/dist/mermaid.min.js

mdbook build "$source" --dest-dir "$(realpath "$book")/html"
python3 ecosystem/book/links.py "$book/html"
echo "The book is $book/html/index.html"
