// A page that is not there. It asks for nothing.

import { status } from "/status.js";

status("live", "Live");
