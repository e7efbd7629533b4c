"""The fork server and its limited children: one job in, one result out, whatever the job's octets do to the child."""
