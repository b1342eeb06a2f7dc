//! Pages of the book that are written from code: `cargo xtask docs` writes them, a test sees when they are old.

use std::path::Path;

use anyhow::Context as _;

use crate::command::root;
use crate::{crd_page, telemetry};

/// Every generated page below docs/book/src.
fn pages(root: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let crd = |name: &str| crd_page::page(&root.join(format!("crds/yaml/{name}.muster.dev.yaml")));
    Ok(vec![
        ("metrics.md", telemetry::metrics_page(root)?),
        ("kubernetes/gamefleet.md", crd("gamefleets")?),
        ("kubernetes/matchqueue.md", crd("matchqueues")?),
    ])
}

/// Writes the pages.
pub(crate) fn run() -> anyhow::Result<()> {
    for (name, text) in pages(&root())? {
        let path = root().join("docs/book/src").join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_pages_are_as_the_code_says() {
        for (name, text) in pages(&root()).expect("readable code") {
            let written = std::fs::read_to_string(root().join("docs/book/src").join(name)).unwrap_or_default();
            assert!(written == text, "docs/book/src/{name} is old: cargo xtask docs");
        }
    }
}
