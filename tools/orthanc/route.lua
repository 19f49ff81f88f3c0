-- For Orthanc: every CT series goes to the node, which sends its segmentation and report back. docs/node.md
NODE = 'PNEUMO'

-- Of a series, in Orthanc's own database: how many of its images the node has. Numbers from 1024 on are for users
SENT = '4711'

-- Series, and the number of their images, by the job that sends them. Orthanc itself remembers ten jobs that have
-- ended, and no more
sending = {}

function Images(seriesId)
  return #ParseJson(RestApiGet('/series/' .. seriesId))['Instances']
end

-- As noted of a series; nil where it was not sent
function Sent(seriesId)
  for _, name in ipairs(ParseJson(RestApiGet('/series/' .. seriesId .. '/metadata'))) do
    if name == SENT then
      return tonumber(RestApiGet('/series/' .. seriesId .. '/metadata/' .. SENT))
    end
  end
  return nil
end

-- The higher its priority, the earlier a series goes out
function Send(seriesId, priority)
  local job = { Resources = { seriesId }, Synchronous = false, Priority = priority }
  -- Counted before: an image that comes meanwhile makes the series stable once more, and it goes out again
  local images = Images(seriesId)
  print('CT series to ' .. NODE .. ': ' .. seriesId)
  local answer = ParseJson(RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(job)))
  sending[answer['ID']] = { series = seriesId, images = images }
end

function OnStableSeries(seriesId, tags, metadata)
  -- What comes back is of modalities SEG and SR
  if tags['Modality'] == 'CT' then
    Send(seriesId, 0)
  end
end

-- Orthanc forgets what it was about to send when it is killed: what came since yesterday and was not sent goes out
-- again, the oldest first. The node waits for the rest of what was cut off, and not for ever
function Initialize()
  local yesterday = os.date('!%Y%m%dT%H%M%S', os.time() - 86400)
  local query = { Level = 'Series', Query = { Modality = 'CT' } }
  local lacking = {}
  for _, seriesId in ipairs(ParseJson(RestApiPost('/tools/find', DumpJson(query)))) do
    local updated = RestApiGet('/series/' .. seriesId .. '/metadata/LastUpdate')
    if updated > yesterday and Sent(seriesId) ~= Images(seriesId) then
      table.insert(lacking, { series = seriesId, updated = updated })
    end
  end
  table.sort(lacking, function(one, other) return one.updated < other.updated end)
  for _, each in ipairs(lacking) do
    Send(each.series, 0)
  end
end

-- What the node could not take, since it was away or full, goes out again after a pause: with the next beat of Orthanc
-- 1.11.1 and newer (LuaHeartBeatPeriod), with the next object that is stored or sent of an older one. At once and
-- for ever, as a job that is resubmitted where it fails, would keep Orthanc busy and from ending
PAUSE_S = 10
-- In the order in which they failed
failed = {}

function OnJobFailure(jobId)
  if sending[jobId] then
    table.insert(failed, { series = sending[jobId].series, at = os.time() })
    sending[jobId] = nil
  end
end

function Retry()
  while failed[1] and os.time() - failed[1].at >= PAUSE_S do
    Send(table.remove(failed, 1).series, 1)
  end
end

function OnHeartBeat()
  Retry()
end

function OnStoredInstance(instanceId, tags, metadata, origin)
  Retry()
end

function OnJobSuccess(jobId)
  local sent = sending[jobId]
  if sent then
    RestApiPut('/series/' .. sent.series .. '/metadata/' .. SENT, tostring(sent.images))
    sending[jobId] = nil
  end
  Retry()
end
