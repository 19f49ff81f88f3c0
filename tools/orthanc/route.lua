-- For Orthanc: every CT series goes to the node, which sends its segmentation and report back. docs/node.md
NODE = 'PNEUMO'

function OnStableSeries(seriesId, tags, metadata)
  -- What comes back is of modalities SEG and SR
  if tags['Modality'] == 'CT' then
    local job = { Resources = { seriesId }, Synchronous = false }
    print('CT series to ' .. NODE .. ': ' .. seriesId)
    RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(job))
  end
end

-- What the node could not take, since it was away or full, is sent again until it can
function OnJobFailure(jobId)
  local job = ParseJson(RestApiGet('/jobs/' .. jobId))
  if job['Type'] == 'DicomModalityStore' and job['Content']['RemoteAet'] == NODE then
    RestApiPost('/jobs/' .. jobId .. '/resubmit', '')
  end
end
