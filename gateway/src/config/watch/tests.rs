use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use tokio::time::timeout;

use super::{Content, Watcher};

const FAST: Duration = Duration::from_millis(2);

async fn changed(watcher: &mut Watcher) {
    timeout(Duration::from_secs(10), watcher.changed())
        .await
        .expect("the change was not seen");
}

/// As the kubelet does it: a new directory, then one rename of the symlink `..data`.
fn publish(mount: &Path, version: &str, text: &str) {
    fs::create_dir(mount.join(version)).unwrap();
    fs::write(mount.join(version).join("gateway.yaml"), text).unwrap();
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
}

#[tokio::test]
async fn a_symlink_swap_is_a_change() {
    let mount = tempfile::tempdir().unwrap();
    publish(mount.path(), "..v1", "workers: 1");
    let file = mount.path().join("gateway.yaml");
    symlink("..data/gateway.yaml", &file).unwrap();
    let mut watcher = Watcher::new(&file, FAST);
    for (version, text) in [("..v2", "workers: 2"), ("..v3", "workers: 3")] {
        publish(mount.path(), version, text);
        changed(&mut watcher).await;
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "workers: 3");
}

#[tokio::test]
async fn a_file_that_goes_and_comes_back_is_two_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.yaml");
    fs::write(&file, "a").unwrap();
    let mut watcher = Watcher::new(&file, FAST);
    fs::remove_file(&file).unwrap();
    changed(&mut watcher).await;
    fs::write(&file, "a").unwrap();
    changed(&mut watcher).await;
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.yaml");
    fs::write(&file, "a").unwrap();
    let mut watcher = Watcher::new(&file, FAST);
    fs::write(&file, "b").unwrap();
    assert!(
        timeout(Duration::ZERO, watcher.changed()).await.is_err(),
        "one look is not enough"
    );
    changed(&mut watcher).await;
}

#[test]
fn only_a_settled_and_different_content_counts() {
    let mut content = Content {
        reported: Some(1),
        seen: Some(1),
    };
    let reads = [
        Some(1),
        Some(2),
        Some(3),
        Some(3),
        Some(3),
        None,
        Some(3),
        Some(1),
        Some(1),
        None,
        None,
        None,
    ];
    let news = reads.map(|read| content.observe(read));
    assert_eq!(
        news,
        [
            false, false, false, true, false, false, false, false, true, false, true, false
        ]
    );
}
