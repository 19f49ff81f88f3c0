-- For Orthanc: every CT series goes to the node, which sends its segmentation and report back. docs/node.md
NODE = 'PNEUMO'

-- Series by the job that sends them. Orthanc itself remembers ten jobs that have ended, and no more
sending = {}

function Send(seriesId)
  local job = { Resources = { seriesId }, Synchronous = false }
  print('CT series to ' .. NODE .. ': ' .. seriesId)
  local answer = ParseJson(RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(job)))
  sending[answer['ID']] = seriesId
end

function OnStableSeries(seriesId, tags, metadata)
  -- What comes back is of modalities SEG and SR
  if tags['Modality'] == 'CT' then
    Send(seriesId)
  end
end

-- Orthanc forgets what it was about to send when it is killed: what came since yesterday goes out again. The node knows
-- what it has, and segments nothing twice
function Initialize()
  local yesterday = os.date('!%Y%m%dT%H%M%S', os.time() - 86400)
  local query = { Level = 'Series', Query = { Modality = 'CT' } }
  for _, seriesId in ipairs(ParseJson(RestApiPost('/tools/find', DumpJson(query)))) do
    if RestApiGet('/series/' .. seriesId .. '/metadata/LastUpdate') > yesterday then
      Send(seriesId)
    end
  end
end

-- What the node could not take, since it was away or full, goes out again after a pause: with the next beat of Orthanc
-- 1.11.1 and newer (LuaHeartBeatPeriod), with the next object that is stored or sent of an older one. At once and
-- for ever, as a job that is resubmitted where it fails, would keep Orthanc busy and from ending
PAUSE_S = 10
failed = {}

function OnJobFailure(jobId)
  if sending[jobId] then
    failed[sending[jobId]] = os.time()
    sending[jobId] = nil
  end
end

function Retry()
  for seriesId, at in pairs(failed) do
    if os.time() - at >= PAUSE_S then
      failed[seriesId] = nil
      Send(seriesId)
    end
  end
end

function OnHeartBeat()
  Retry()
end

function OnStoredInstance(instanceId, tags, metadata, origin)
  Retry()
end

function OnJobSuccess(jobId)
  sending[jobId] = nil
  Retry()
end
