import{a as t,H as i}from"./base-BiJl5cRU.js";function a(e){return t("div",{class:"page",children:t(i,{title:"Audit"})})}export{a as Audit};
