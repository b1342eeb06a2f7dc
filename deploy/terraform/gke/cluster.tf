# The cluster: one pool for programs, one for game servers, and the way in for players.

locals {
  game_tag = "${var.name}-game-servers"
}

data "google_container_engine_versions" "this" {
  project        = var.project
  location       = var.location
  version_prefix = var.kubernetes_version
}

resource "google_service_account" "nodes" {
  project      = var.project
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of ${var.name}"
}

resource "google_project_iam_member" "nodes" {
  for_each = toset([
    "roles/artifactregistry.reader",
    "roles/container.defaultNodeServiceAccount",
  ])

  project = var.project
  role    = each.value
  member  = google_service_account.nodes.member
}

resource "google_container_cluster" "this" {
  project  = var.project
  name     = var.name
  location = var.location

  network            = var.network
  subnetwork         = var.subnetwork
  min_master_version = data.google_container_engine_versions.this.latest_master_version

  # The pools below replace it.
  remove_default_node_pool = true
  initial_node_count       = 1

  # NetworkPolicies are enforced.
  datapath_provider = "ADVANCED_DATAPATH"

  ip_allocation_policy {}

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.api_client_cidrs
      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  # An upgrade drains nodes: at night, and never all at once.
  maintenance_policy {
    daily_maintenance_window {
      start_time = "03:00"
    }
  }
}

resource "google_container_node_pool" "platform" {
  project  = var.project
  name     = "platform"
  cluster  = google_container_cluster.this.name
  location = var.location

  autoscaling {
    total_min_node_count = var.platform_nodes.minimum
    total_max_node_count = var.platform_nodes.maximum
  }

  node_config {
    machine_type    = var.platform_nodes.machine_type
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

resource "google_container_node_pool" "game_servers" {
  project  = var.project
  name     = "game-servers"
  cluster  = google_container_cluster.this.name
  location = var.location

  autoscaling {
    total_min_node_count = var.game_nodes.minimum
    total_max_node_count = var.game_nodes.maximum
  }

  # Matches on a node are played to their end before the next node goes.
  upgrade_settings {
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type    = var.game_nodes.machine_type
    spot            = var.game_nodes.spot
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    tags            = [local.game_tag]

    labels = {
      "muster.dev/nodes" = "game-servers"
    }

    taint {
      key    = "muster.dev/nodes"
      value  = "game-servers"
      effect = "NO_EXECUTE"
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

# Players reach the host ports of the game nodes, and nothing else.
resource "google_compute_firewall" "players" {
  project       = var.project
  name          = "${var.name}-players"
  network       = var.network
  direction     = "INGRESS"
  source_ranges = var.player_cidrs
  target_tags   = [local.game_tag]

  allow {
    protocol = "udp"
    ports    = ["${var.game_ports.first}-${var.game_ports.last}"]
  }
}
