# Agones, then Muster.

data "google_client_config" "this" {}

provider "kubernetes" {
  host                   = "https://${google_container_cluster.this.endpoint}"
  token                  = data.google_client_config.this.access_token
  cluster_ca_certificate = base64decode(google_container_cluster.this.master_auth[0].cluster_ca_certificate)
}

provider "helm" {
  kubernetes = {
    host                   = "https://${google_container_cluster.this.endpoint}"
    token                  = data.google_client_config.this.access_token
    cluster_ca_certificate = base64decode(google_container_cluster.this.master_auth[0].cluster_ca_certificate)
  }
}

resource "kubernetes_namespace_v1" "games" {
  for_each = toset(var.game_namespaces)

  metadata {
    name = each.value
  }

  depends_on = [google_container_node_pool.platform]
}

resource "helm_release" "agones" {
  name             = "agones"
  repository       = "https://agones.dev/chart/stable"
  chart            = "agones"
  version          = var.agones_version
  namespace        = "agones-system"
  create_namespace = true
  timeout          = 600

  values = [yamlencode({
    gameservers = {
      namespaces = var.game_namespaces
      minPort    = var.game_ports.first
      maxPort    = var.game_ports.last
    }
    agones = {
      # Muster's allocator serves Agones' allocation API itself.
      allocator = { install = false }
      # No ping service: the matchmaker takes round-trip times from its clients.
      ping = { install = false }
    }
  })]

  depends_on = [google_container_node_pool.platform, kubernetes_namespace_v1.games]
}

resource "helm_release" "muster" {
  name             = "muster"
  chart            = var.muster_chart
  namespace        = "muster-system"
  create_namespace = true
  timeout          = 600

  values = compact([
    yamlencode({
      image          = { repository = var.muster_image.repository, digest = var.muster_image.digest }
      gameNamespaces = var.game_namespaces
      operator       = { replicas = 2 }
      allocator      = { replicas = 2 }
      metagame       = { service = { type = "LoadBalancer" } }
    }),
    var.muster_values,
  ])

  depends_on = [helm_release.agones]
}
