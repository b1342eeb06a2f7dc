//! `muster kubectl …`, and the same as the plugin `kubectl muster …`: fleets, queues, matches and servers of a cluster at
//! a glance, drains, and the course of a rollout. Everything goes through the API server with the caller's own rights.

mod drain;
mod matches;
mod options;
mod rollout;
mod rows;
mod status;
mod table;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

pub(crate) use matches::page;
pub(crate) use options::KubectlOptions;
use options::{KubectlTask, Scope};
pub(crate) use rows::{FleetRow, QueueRow};

use crate::exit::Failure;

/// Name under which kubectl finds a plugin for `kubectl muster`.
const PLUGIN: &str = "kubectl-muster";

/// Arguments as they were given, or those of `muster kubectl` if the program was called as the plugin.
pub(crate) fn as_plugin(mut args: Vec<OsString>) -> Vec<OsString> {
    let called = args.first().map(Path::new).and_then(Path::file_stem);
    if called.is_some_and(|name| name == PLUGIN) {
        args.insert(1, "kubectl".into());
    }
    args
}

/// Runs one command.
pub(crate) fn run(options: &KubectlOptions) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let cluster = Cluster::connect(&options.scope).await?;
        let output = options.output;
        match &options.task {
            KubectlTask::Status => status::run(&cluster, output).await?,
            KubectlTask::Fleets => rows::fleets(&cluster, output).await?,
            KubectlTask::Queues => rows::queues(&cluster, output).await?,
            KubectlTask::Servers { fleet } => rows::servers(&cluster, fleet.as_deref(), output).await?,
            KubectlTask::Matches { fleet } => matches::run(&cluster, fleet.as_deref(), output).await?,
            KubectlTask::Drain { what, name, order } => drain::run(&cluster, *what, name, order, output).await?,
            KubectlTask::Rollout { task, fleet } => rollout::run(&cluster, *task, fleet, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The cluster, and the part of it that is looked at.
struct Cluster {
    client: Client,
    /// One namespace; `None`: all.
    namespace: Option<String>,
}

impl Cluster {
    async fn connect(scope: &Scope) -> Result<Self, Failure> {
        let client = connect(scope.context.as_deref()).await?;
        let namespace = match (&scope.namespace, scope.all_namespaces) {
            (_, true) => None,
            (Some(namespace), false) => Some(namespace.clone()),
            (None, false) => Some(client.default_namespace().to_owned()),
        };
        Ok(Self { client, namespace })
    }

    /// Resources of a kind, in the namespaces that are looked at.
    fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Resources of a kind in the one namespace.
    fn of<K>(&self) -> Result<Api<K>, Failure>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        let namespace = self.namespace.as_deref().ok_or_else(|| {
            Failure::setup("this command acts on one namespace").help("name it with -n instead of --all-namespaces")
        })?;
        Ok(Api::namespaced(self.client.clone(), namespace))
    }
}

/// A client by the caller's kubeconfig, or of the cluster that this pod is in.
pub(crate) async fn connect(context: Option<&str>) -> Result<Client, Failure> {
    let Some(context) = context else {
        return crate::cluster_options::client().await;
    };
    let fault = |error: &dyn std::fmt::Display| {
        Failure::setup(format!("no cluster by context {context}: {error}"))
            .help("kubectl config get-contexts lists those of the kubeconfig")
    };
    let kubeconfig = Kubeconfig::read().map_err(|error| fault(&error))?;
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| fault(&error))?;
    Client::try_from(config).map_err(|error| fault(&error))
}

/// What the API server's refusal means to the caller.
fn refusal(what: &str, error: &kube::Error) -> Failure {
    let failure = Failure::run(format!("{what}: {error}"));
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            failure.help("ask for this right, or use another account: kubectl auth can-i --list shows what you may")
        }
        kube::Error::Api(status) if status.code == 409 => failure.help("it was changed in this very moment: try again"),
        kube::Error::Api(status) if status.code == 404 => failure
            .help("look with `kubectl muster fleets -A`; `muster doctor --kubernetes` says whether the CRDs are there"),
        _ => failure,
    }
}

/// All resources of a kind, sorted by namespace and name.
async fn list<K>(api: &Api<K>, what: &str, labels: Option<&str>) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = kube::api::ListParams { label_selector: labels.map(str::to_owned), ..Default::default() };
    let listed = api.list(&params).await;
    let mut items = listed.map_err(|error| refusal(&format!("{what} cannot be listed"), &error))?.items;
    items.sort_by_cached_key(|item| (item.meta().namespace.clone(), item.meta().name.clone()));
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_plugins_name_is_the_plugin() {
        let args = |line: &[&str]| as_plugin(line.iter().map(OsString::from).collect());
        assert_eq!(args(&["/usr/bin/kubectl-muster", "fleets"])[1], "kubectl");
        assert_eq!(args(&["muster", "up"]), ["muster", "up"]);
        assert_eq!(args(&[]), Vec::<OsString>::new());
    }
}
