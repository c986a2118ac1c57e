"""Wait at the bell, order by HTTP, and print what the bell says.

Takes three arguments: the stall's address, the bell's, and an API key.
"""

import json
import sys
from urllib.request import Request, urlopen

from websockets.sync.client import connect

stall, bell, key = sys.argv[1:]
with connect(bell) as socket:
    socket.send(json.dumps({"action": "wait"}))
    connection = json.loads(socket.recv(10))["bell"]
    order = json.dumps({"cake": "pavlova", "slices": 2, "bell": connection})
    headers = {
        "Authorization": "Member ada",
        "X-API-Key": key,
        "Content-Type": "application/json",
    }
    urlopen(Request(f"{stall}/orders", order.encode(), headers)).close()
    print(socket.recv(10))
