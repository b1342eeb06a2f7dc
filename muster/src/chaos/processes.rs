//! Processes that belong to a data folder, by the system's own list.

use std::path::Path;

/// Ids of the other processes whose command line names the folder: the game servers of a platform, whoever their parent is
/// by now. Empty on a system without `/proc`.
pub(super) fn of_folder(folder: &Path) -> Vec<u32> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names_it = |pid: &u32| {
        // A process that has ended, and that nobody has waited for, has no command line any more.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(folder.len().max(1)).any(|part| part == folder)
    };
    ids.filter(|pid| *pid != std::process::id()).filter(names_it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_the_folder_in_its_command_line_until_it_ends() {
        let folder = format!("/no/such/folder-{:016x}", service::random::u64());
        let script = format!(": {folder}; read line");
        let mut command = std::process::Command::new("/bin/sh");
        let mut child = command.args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        // Its command line is there a moment after the spawn.
        let there = || (of_folder(Path::new(&folder)) == [child.id()]).then_some(());
        testkit::wait::until_blocking("its start", there);
        child.kill().expect("killed");
        let gone = || of_folder(Path::new(&folder)).is_empty().then_some(());
        testkit::wait::until_blocking("its end", gone);
        child.wait().expect("our child");
    }
}
