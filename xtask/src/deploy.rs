//! What is shipped beside the chart: docker compose and plain Agones manifests. Neither is run here, so at least every
//! program, flag and variable in them must exist, and what belongs together must fit.

mod compose;
mod help;
mod manifests;

use std::path::Path;

/// One sentence for each fault.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = compose::faults(root)?;
    faults.extend(manifests::faults(root)?);
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_and_manifests_name_only_settings_that_exist() {
        assert_eq!(faults(&crate::command::root()).expect("readable files"), Vec::<String>::new());
    }
}
